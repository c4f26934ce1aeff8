//! The workloads that come with the program, so that they can be named anywhere.

use crate::document::Source;

/// Name and text of every workload, in the order they are listed.
const ALL: &[(&str, &str)] = &[
    (
        "lenet-300-100",
        include_str!("../../workloads/lenet-300-100.toml"),
    ),
    ("lenet5", include_str!("../../workloads/lenet5.toml")),
    ("alexnet", include_str!("../../workloads/alexnet.toml")),
    ("vgg16", include_str!("../../workloads/vgg16.toml")),
    ("resnet18", include_str!("../../workloads/resnet18.toml")),
    ("resnet50", include_str!("../../workloads/resnet50.toml")),
    ("resnet20", include_str!("../../workloads/resnet20.toml")),
    ("vgg-like", include_str!("../../workloads/vgg-like.toml")),
    (
        "text-transformer",
        include_str!("../../workloads/text-transformer.toml"),
    ),
    ("minilm-l6", include_str!("../../workloads/minilm-l6.toml")),
];

/// Name and text of every workload.
#[must_use]
pub fn list() -> &'static [(&'static str, &'static str)] {
    ALL
}

/// The workload of a name, ready for [`super::Workload::from_source`].
#[must_use]
pub fn find(name: &str) -> Option<Source> {
    ALL.iter()
        .find(|(n, _)| *n == name)
        .map(|(n, text)| Source::new(format!("workloads/{n}.toml"), *text))
}
