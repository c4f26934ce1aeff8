//! The shipped recipes: they fit their networks, and hold what the papers print.
#![allow(clippy::print_stdout)] // says what is skipped

use cosparse::compression::{Recipe, RecipeFile, recipes};
use cosparse::network::{Workload, zoo};
use std::collections::BTreeMap;

/// The recipe, its workload, and the densities of its layers.
fn read(name: &str) -> (Workload, BTreeMap<String, f64>, String) {
    let source = recipes::find(name).expect("it is shipped");
    let file: RecipeFile = source.parse().expect("it has the form of a recipe");
    let workload = zoo::list()
        .iter()
        .map(|(workload, _)| *workload)
        .filter(|workload| name.starts_with(&format!("{workload}-")))
        .max_by_key(|workload| workload.len())
        .expect("its name begins with its workload's");
    let workload = Workload::find(workload).expect("shipped");
    let densities = file
        .layer
        .iter()
        .map(|(layer, target)| (layer.clone(), target.density))
        .collect();
    let words = file.source.clone();
    let recipe = Recipe::from_file(file).expect("densities and widths are possible");
    let layers: Vec<&str> = workload.network.weighted().map(|l| l.name.as_str()).collect();
    recipe
        .check_layers(&layers)
        .expect("its layers are the network's");
    (workload, densities, words)
}

#[test]
fn every_recipe_fits_its_network_and_names_its_table() {
    assert!(recipes::list().len() >= 17);
    for (name, _) in recipes::list() {
        let (_, densities, source) = read(name);
        assert!(!densities.is_empty(), "{name}");
        assert!(
            source.contains("arXiv:") && source.contains("Table"),
            "{name}: {source}"
        );
    }
}

/// Weights kept as printed: LeNet-5 of ECCV 2018 keeps 100, 2000, 3600 and 350.
#[test]
fn printed_counts_are_met() {
    let (workload, densities, _) = read("lenet5-eccv-2018");
    let kept: Vec<usize> = workload
        .network
        .weighted()
        .map(|l| (densities[&l.name] * l.weights() as f64).round() as usize)
        .collect();
    assert_eq!(kept, [100, 2000, 3600, 350]);
}

/// The pruned portions behind ADMM-NN's Table 9, row by row.
#[test]
fn densities_are_those_of_table_9() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/reference/papers/admm_nn_calibration_points.csv"
    );
    let Ok(mut file) = csv::Reader::from_path(path) else {
        println!("skipped: ../shared not found");
        return;
    };
    let mut compared = 0;
    for row in file.records() {
        let row = row.expect("a row");
        let name = match &row[0] {
            "Han 2015" => "alexnet-han-2015",
            "Mao 2017" => "alexnet-mao-2017",
            "Wen 2016 (L1)" => "alexnet-wen-2016",
            "ADMM-NN #1" => "alexnet-admm-nn-hardware-1",
            "ADMM-NN #2" => "alexnet-admm-nn-hardware-2",
            other => panic!("{other}"),
        };
        let (_, densities, _) = read(name);
        let kept: f64 = row[3].parse().expect("a fraction");
        assert_eq!(
            densities.get(&row[1]).copied().unwrap_or(1.0),
            kept,
            "{name}, {}",
            &row[1]
        );
        compared += 1;
    }
    assert_eq!(compared, 25);
}
