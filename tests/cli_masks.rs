//! `cosparse estimate` on masks from files and from models.

mod command;

use command::{cosparse, in_directory};
use cosparse::compression::mask_file::{Wanted, open};
use cosparse::compression::{Mask, MaskModel};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// LeNet-5's layers: name, GEMM rows and columns.
const LENET: [(&str, usize, usize); 4] = [
    ("conv1", 20, 25),
    ("conv2", 50, 500),
    ("fc1", 500, 800),
    ("fc2", 10, 500),
];

fn masks(model: MaskModel, density: f64) -> Vec<(&'static str, Mask)> {
    (3..)
        .zip(LENET)
        .map(|(seed, (name, rows, cols))| (name, model.draw(rows, cols, density, seed)))
        .collect()
}

fn smtx(mask: &Mask) -> String {
    let mut text = format!("{}, {}, {}\n0", mask.rows(), mask.cols(), mask.count());
    let mut end = 0;
    for count in mask.row_counts() {
        end += count;
        write!(text, " {end}").expect("text grows");
    }
    let columns: Vec<String> = mask.ones().map(|i| (i % mask.cols()).to_string()).collect();
    text + "\n" + &columns.join(" ") + "\n"
}

fn write_smtx(directory: &Path, masks: &[(&str, Mask)]) {
    fs::create_dir_all(directory).expect("a directory");
    for (name, mask) in masks {
        fs::write(directory.join(format!("{name}.smtx")), smtx(mask)).expect("a file");
    }
}

fn write_safetensors(path: &Path, masks: &[(&str, Mask)]) {
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = masks
        .iter()
        .map(|(name, mask)| {
            let bytes = (0..mask.len()).flat_map(|i| if mask.get(i) { -0.5f32 } else { -0.0 }.to_le_bytes());
            // a convolution has four dimensions
            let shape = if name.starts_with("conv") {
                vec![mask.rows(), mask.cols() / 25, 5, 5]
            } else {
                vec![mask.rows(), mask.cols()]
            };
            (format!("{name}.weight"), shape, bytes.collect())
        })
        .collect();
    let views = data.iter().map(|(name, shape, bytes)| {
        (
            name.clone(),
            TensorView::new(Dtype::F32, shape.clone(), bytes).expect("bytes of the shape"),
        )
    });
    fs::write(path, safetensors::serialize(views, None).expect("tensors")).expect("a file");
}

fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    reader
        .deserialize()
        .map(|row| row.expect("a row under a header"))
        .collect()
}

#[test]
fn both_kinds_of_files_give_the_same_costs_beside_their_expectation() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = directory.path();
    let given = masks(MaskModel::RowSkew { variation: 0.5 }, 0.1);
    write_smtx(&at.join("smtx"), &given);
    write_safetensors(&at.join("lenet.safetensors"), &given);
    let mut found = Vec::new();
    for (masks, out) in [("smtx", "a"), ("lenet.safetensors", "b")] {
        let run = cosparse(
            at,
            &[
                "estimate",
                "lenet5",
                "--hw",
                "admm-nn-40nm",
                "--pick",
                "latency",
                "--masks",
                masks,
                "--out",
                out,
            ],
        );
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(
            run.stdout.contains("cycles on the mask") && run.stdout.contains("95 % of random masks"),
            "{}",
            run.stdout
        );
        let layers = rows(&at.join(out).join("masks.csv"));
        assert_eq!(layers.len(), 4);
        assert!(layers.iter().all(|r| r["candidate"] == "masks"));
        let toml = fs::read_to_string(at.join(out).join("run.toml")).expect("a record");
        assert!(toml.contains("[masks]") && toml.contains(masks), "{toml}");
        // the candidate's own rows are those of the cycle model on the masks
        let costs = rows(&at.join(out).join("layers.csv"));
        let costs = costs.iter().filter(|r| r["candidate"] == "masks");
        for (mask, cost) in layers.iter().zip(costs) {
            assert_eq!(
                (&mask["layer"], &mask["mask_cycles"]),
                (&cost["layer"], &cost["cycles"])
            );
            assert_eq!(mask["kept"], cost["kept"]);
        }
        found.push(layers);
    }
    for (a, b) in found[0].iter().zip(&found[1]) {
        for column in [
            "layer",
            "kept",
            "mask_cycles",
            "expected_cycles",
            "interval_low",
            "ratio",
        ] {
            assert_eq!(a[column], b[column], "{column}");
        }
    }
    // skewed rows leave the slowest of contiguous slices more than random positions would
    let fc1 = found[0].iter().find(|r| r["layer"] == "fc1").expect("fc1");
    assert_eq!(fc1["kept"], given[2].1.count().to_string());
    let number = |column: &str| fc1[column].parse::<f64>().expect("a number");
    let (low, high) = (number("interval_low"), number("interval_high"));
    let (expected, cycles) = (number("expected_cycles"), number("mask_cycles"));
    assert!(low <= expected && expected <= high, "{low} {expected} {high}");
    assert!(cycles >= high, "{cycles} in {low}..{high}");
    assert!((number("ratio") - cycles / expected).abs() < 1e-12);
}

#[test]
fn models_draw_the_recipe_and_seeds_repeat() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = directory.path();
    let run = |profile: &str, model: &str, seed: &str, out: &str| {
        let recipe = ["--recipe", "lenet5-eccv-2018", "--pick", "latency", "--out", out];
        let drawn = ["--mask-model", model, "--seed", seed];
        let run = cosparse(
            at,
            &[&["estimate", "lenet5", "--hw", profile][..], &recipe, &drawn].concat(),
        );
        assert_eq!(run.code, 0, "{}", run.stderr);
        fs::read_to_string(at.join(out).join("masks.csv")).expect("rows")
    };
    let contiguous = |model: &str, seed: &str, out: &str| run("admm-nn-40nm", model, seed, out);
    let first = contiguous("row-skew:0.23", "7", "a");
    assert_eq!(first, contiguous("row-skew:0.23", "7", "b"));
    assert_ne!(first, contiguous("row-skew:0.23", "8", "c"));
    assert_ne!(first, contiguous("uniform", "7", "d"));
    for out in ["a", "d"] {
        // every model keeps what the recipe says (Table 2 of arXiv 1804.03294)
        let drawn = rows(&at.join(out).join("masks.csv"));
        let kept: Vec<&str> = drawn.iter().map(|r| r["kept"].as_str()).collect();
        assert_eq!(kept, ["100", "2000", "3600", "350"]);
    }
    let mut sparse = 0;
    for row in rows(&at.join("d/masks.csv")) {
        let number = |column: &str| row[column].parse::<u64>().ok();
        let cycles = number("mask_cycles").expect("a count");
        match (number("interval_low"), number("interval_high")) {
            (Some(low), Some(high)) => {
                assert!((low..=high).contains(&cycles), "{row:?}");
                sparse += 1;
            }
            _ => assert_eq!(
                (row["engine"].as_str(), number("expected_cycles")),
                ("dense", Some(cycles))
            ),
        }
    }
    assert!(sparse > 0, "no layer on the sparse engine");
    // row-interleaved slices state one as well, scatter engines none
    run("eie-45nm", "uniform", "7", "e");
    for row in rows(&at.join("e/masks.csv")) {
        let number = |column: &str| row[column].parse::<u64>().expect("a count");
        let interval = number("interval_low")..=number("interval_high");
        assert!(interval.contains(&number("mask_cycles")), "{row:?}");
        assert!(interval.contains(&number("expected_cycles")), "{row:?}");
    }
    run("scnn-like-16nm", "uniform", "7", "f");
    for row in rows(&at.join("f/masks.csv")) {
        assert!(
            row["interval_low"].is_empty(),
            "scatter engines state no interval"
        );
    }
}

#[test]
fn wrong_requests_name_their_cure() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = directory.path();
    let mut given = masks(MaskModel::Uniform, 0.2);
    write_smtx(&at.join("good"), &given);
    fs::create_dir(at.join("empty")).expect("a directory");
    fs::create_dir(at.join("cut")).expect("a directory");
    fs::write(at.join("cut/fc2.smtx"), "10, 500, 3\n0 1 2 3\n1 2 3\n").expect("a file");
    fs::write(at.join("bad.safetensors"), "no tensors").expect("a file");
    for (directory, text) in [
        ("negative", "10, 500, 3\n0 1 2 3 3 3 3 3 3 3 3\n1 -1 3\n"),
        ("offsets", "10, 500, 3\n0 2 1 3 3 3 3 3 3 3 3\n1 2 3\n"),
    ] {
        fs::create_dir(at.join(directory)).expect("a directory");
        fs::write(at.join(directory).join("fc2.smtx"), text).expect("a file");
    }
    write_safetensors(&at.join("whole.safetensors"), &given);
    let whole = fs::read(at.join("whole.safetensors")).expect("bytes");
    fs::write(at.join("cut.safetensors"), &whole[..whole.len() - 1]).expect("a file");
    given[3].1 = Mask::full(500, 10);
    write_smtx(&at.join("shape"), &given);
    let base = ["estimate", "lenet5", "--hw", "admm-nn-40nm", "--out", "out"];
    for (more, words) in [
        (vec!["--masks", "missing"], vec!["`missing`", "check the path"]),
        (
            vec!["--masks", "empty"],
            vec!["no mask of any layer", "LAYER.smtx", "workload show"],
        ),
        (vec!["--masks", "cut"], vec!["fc2.smtx", "line 2", "rows + 1"]),
        (
            vec!["--masks", "bad.safetensors"],
            vec!["bad.safetensors", "write it again"],
        ),
        (
            vec!["--masks", "shape"],
            vec!["layer `fc2`", "500 x 10", "10 x 500"],
        ),
        (vec!["--mask-model", "uniform"], vec!["--recipe"]),
        (
            vec!["--recipe", "lenet5-han-2015", "--mask-model", "random"],
            vec!["`random`", "row-skew"],
        ),
        (
            vec!["--masks", "negative"],
            vec!["fc2.smtx", "line 3", "`-1`", "from 0"],
        ),
        (vec!["--masks", "offsets"], vec!["fc2.smtx", "line 2", "ascend"]),
        (
            vec!["--masks", "cut.safetensors"],
            vec!["cut.safetensors", "write it again"],
        ),
        (
            vec!["--masks", "good", "--seed", "3"],
            vec!["cannot be used with"],
        ),
        (
            vec![
                "--masks",
                "good",
                "--recipe",
                "lenet5-han-2015",
                "--mask-model",
                "uniform",
            ],
            vec!["cannot be used with"],
        ),
    ] {
        let run = cosparse(at, &[&base[..], &more].concat());
        let screen = in_directory(&run);
        assert_eq!(run.code, 2, "{}: {screen}", run.arguments);
        let text = screen
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace("│ ", "");
        for word in words {
            assert!(text.contains(word), "{more:?} lacks `{word}`: {text}");
        }
    }
}

/// Layers without a mask are no error; packed layers are masks as well.
#[test]
fn a_directory_may_hold_packed_layers_and_less_than_all() {
    use cosparse::compression::encoding::Encoding;
    use cosparse::compression::pack::PackedLayer;
    use cosparse::compression::precision::Levels;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let weights: Vec<f32> = (0u8..24).map(|i| f32::from(i % 3)).collect();
    let layer =
        PackedLayer::new("fc", &[4, 6], (4, 6), &weights, Encoding::Dense, &Levels::FLOAT32).expect("floats");
    fs::write(
        directory.path().join("00-fc.cspl"),
        layer.pack().expect("bytes").bytes,
    )
    .expect("a file");
    let wanted = |layer: &str| Wanted {
        layer: layer.into(),
        rows: 4,
        cols: 6,
    };
    let set = open(directory.path(), &[wanted("fc"), wanted("other")]).expect("one mask");
    assert_eq!(set.masks.len(), 1);
    assert_eq!(set.masks["fc"], Mask::of(&weights, 4, 6));
}
