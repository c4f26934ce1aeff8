//! The published recipes that come with the program, so that they can be named anywhere.

use crate::document::Source;

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../workloads/recipes/", $name, ".toml")))),+]
    };
}

/// Name and text of every recipe. A name begins with that of its workload.
const ALL: &[(&str, &str)] = shipped![
    "alexnet-admm-nn-computation",
    "alexnet-admm-nn-hardware-1",
    "alexnet-admm-nn-hardware-2",
    "alexnet-admm-nn-size",
    "alexnet-han-2015",
    "alexnet-mao-2017",
    "alexnet-unified-2018",
    "alexnet-wen-2016",
    "lenet-300-100-eccv-2018",
    "lenet5-eccv-2018",
    "lenet5-han-2015",
    "lenet5-unified-2018",
    "resnet50-admm-nn-17x",
    "resnet50-admm-nn-7x",
    "resnet50-progressive-9x",
    "vgg16-admm-nn-20x",
    "vgg16-progressive-30x",
];

/// Name and text of every recipe.
#[must_use]
pub fn list() -> &'static [(&'static str, &'static str)] {
    ALL
}

/// The recipe of a name, ready for [`Source::parse`].
#[must_use]
pub fn find(name: &str) -> Option<Source> {
    ALL.iter()
        .find(|(n, _)| *n == name)
        .map(|(n, text)| Source::new(format!("workloads/recipes/{n}.toml"), *text))
}
