//! A workload as the text of its file.

use super::{OptimiserSpec, ScheduleSpec, TrainingSpec, Workload};
use crate::network::op::Padding;
use crate::network::{Layer, LayerId, Op};
use std::fmt::Write;
use toml::Value;

type Fields = Vec<(&'static str, Value)>;

impl Workload {
    /// The file's TOML text: what is default is left out, and each layer names what it reads only if that is not the
    /// layer before it. Reading the text gives an equal workload.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let input = self.network.layer(self.network.input());
        let mut shape = toml::Table::new();
        shape.insert("name".into(), input.name.clone().into());
        shape.insert("shape".into(), list(&input.output.0));
        lines(
            &mut text,
            vec![
                ("name", self.name.clone().into()),
                ("description", self.description.clone().into()),
                ("source", self.source.clone().into()),
                ("input", Value::Table(shape)),
            ],
        );
        table(&mut text, "data", self.data.as_ref().and_then(plain));
        if let Some(training) = &self.training {
            text.push_str("\n[training]\n");
            lines(&mut text, training_fields(training));
        }
        table(&mut text, "baseline", self.baseline.as_ref().and_then(plain));
        let mut before = self.network.input();
        // in the order of definition
        let mut layers: Vec<(LayerId, &Layer)> = self.network.layers().collect();
        layers.sort_by_key(|(id, _)| *id);
        for (id, layer) in layers.into_iter().filter(|(_, l)| l.op != Op::Input) {
            text.push_str("\n[[layer]]\n");
            lines(&mut text, self.layer_fields(layer, before));
            before = id;
        }
        if let Some(prior) = &self.prior {
            text.push_str("\n[prior]\n");
            let density = prior.density.iter().map(|(k, &v)| (k.clone(), Value::Float(v)));
            lines(
                &mut text,
                vec![
                    ("source", prior.source.clone().into()),
                    ("density", Value::Table(density.collect())),
                ],
            );
        }
        text
    }

    fn layer_fields(&self, layer: &Layer, before: LayerId) -> Fields {
        let mut fields: Fields = vec![
            ("name", layer.name.clone().into()),
            ("op", layer.op.kind().into()),
        ];
        let name = |id: LayerId| Value::String(self.network.layer(id).name.clone());
        match layer.inputs.as_slice() {
            [one] if *one == before => {}
            [one] => fields.push(("input", name(*one))),
            several => fields.push(("inputs", Value::Array(several.iter().map(|&i| name(i)).collect()))),
        }
        fields.extend(op_fields(&layer.op));
        if let Some(density) = self.activations.get(&layer.name) {
            fields.push(("activation-density", Value::Float(density.value)));
            fields.push(("activation-source", density.source.clone().into()));
        }
        fields
    }
}

fn lines(text: &mut String, fields: Fields) {
    for (key, value) in fields {
        let _ = writeln!(text, "{key} = {value}");
    }
}

fn plain(value: &impl serde::Serialize) -> Option<Value> {
    Value::try_from(value).ok()
}

fn table(text: &mut String, name: &str, value: Option<Value>) {
    if let Some(Value::Table(table)) = value {
        let _ = writeln!(text, "\n[{name}]");
        for (key, value) in table {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
}

fn number(n: usize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

fn list(numbers: &[usize]) -> Value {
    Value::Array(numbers.iter().map(|&n| number(n)).collect())
}

/// The shortest decimal that reads back as this number.
fn short(value: f32) -> Value {
    Value::Float(format!("{value:?}").parse().unwrap_or(f64::from(value)))
}

fn pair([a, b]: [usize; 2]) -> Value {
    if a == b { number(a) } else { list(&[a, b]) }
}

fn sides(p: Padding) -> Value {
    let all = [p.top, p.bottom, p.left, p.right];
    if all == [p.top; 4] {
        number(p.top)
    } else {
        list(&all)
    }
}

fn op_fields(op: &Op) -> Fields {
    let mut fields: Fields = Vec::new();
    match op {
        Op::Conv2d(c) => {
            fields.push(("out-channels", number(c.out_channels)));
            fields.push(("kernel", pair(c.kernel)));
            for (key, value) in [("stride", c.stride), ("dilation", c.dilation)] {
                if value != [1, 1] {
                    fields.push((key, pair(value)));
                }
            }
            if c.padding != Padding::default() {
                fields.push(("padding", sides(c.padding)));
            }
            if c.groups != 1 {
                fields.push(("groups", number(c.groups)));
            }
            if !c.bias {
                fields.push(("bias", false.into()));
            }
        }
        Op::Linear { out_features, bias } => {
            fields.push(("out-features", number(*out_features)));
            if !bias {
                fields.push(("bias", false.into()));
            }
        }
        Op::MatMul { transpose_b } if *transpose_b => fields.push(("transpose-b", true.into())),
        Op::Pool(p) => {
            fields.push(("kernel", pair(p.kernel)));
            if p.stride != p.kernel {
                fields.push(("stride", pair(p.stride)));
            }
            if p.padding != Padding::default() {
                fields.push(("padding", sides(p.padding)));
            }
            if p.ceil {
                fields.push(("ceil", true.into()));
            }
        }
        Op::Activation(function) => fields.extend(plain(function).map(|word| ("function", word))),
        Op::BatchNorm { eps } | Op::LayerNorm { eps } => {
            if eps.to_bits() != 1e-5f32.to_bits() {
                fields.push(("eps", short(*eps)));
            }
        }
        Op::Concat { axis } if *axis != 0 => fields.push(("axis", number(*axis))),
        Op::Embedding { vocabulary, features } => {
            fields.push(("vocabulary", number(*vocabulary)));
            fields.push(("features", number(*features)));
        }
        Op::Dropout { rate } => fields.push(("rate", short(*rate))),
        Op::MaskedSoftmax { scale } => fields.push(("scale", short(*scale))),
        Op::SplitHeads { heads } => fields.push(("heads", number(*heads))),
        Op::Input
        | Op::MatMul { .. }
        | Op::GlobalAveragePool
        | Op::Add
        | Op::Concat { .. }
        | Op::Flatten
        | Op::Softmax
        | Op::MergeHeads
        | Op::MaskedMean
        | Op::PositionEmbedding => {}
    }
    fields
}

fn training_fields(training: &TrainingSpec) -> Fields {
    let TrainingSpec {
        optimiser,
        epochs,
        batch,
        learning_rate,
        weight_decay,
        schedule,
        warm_up,
        augment_shift,
        augment_flip,
        seed,
    } = training;
    let mut fields: Fields = Vec::new();
    match optimiser {
        OptimiserSpec::Adam => fields.push(("optimiser", "adam".into())),
        OptimiserSpec::Sgd { momentum } => {
            fields.push(("optimiser", "sgd".into()));
            fields.push(("momentum", Value::Float(*momentum)));
        }
    }
    fields.push(("epochs", number(*epochs)));
    fields.push(("batch", number(*batch)));
    fields.push(("learning-rate", Value::Float(*learning_rate)));
    fields.push(("weight-decay", Value::Float(*weight_decay)));
    match schedule {
        ScheduleSpec::Cosine => fields.push(("schedule", "cosine".into())),
        ScheduleSpec::Step { epochs, factor } => {
            fields.push(("schedule", "step".into()));
            fields.push(("step-epochs", number(*epochs)));
            fields.push(("step-factor", Value::Float(*factor)));
        }
    }
    fields.push(("warm-up", Value::Float(*warm_up)));
    fields.push(("augment-shift", number(*augment_shift)));
    if *augment_flip {
        fields.push(("augment-flip", true.into()));
    }
    // no more than TOML's integers hold
    fields.push(("seed", Value::Integer(i64::try_from(*seed).unwrap_or(i64::MAX))));
    fields
}
