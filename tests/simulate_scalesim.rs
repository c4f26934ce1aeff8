//! Systolic arrays against every stall-free run of SCALE-Sim v3.0.0, number for number.
#![allow(clippy::float_cmp)] // whole numbers, which the reports print as decimals
#![allow(clippy::print_stdout)] // measured values, beside what is asserted of them

mod common;

use cosparse::hardware::{Dataflow, EngineKind, Systolic};
use cosparse::simulate::{Folds, Weights, array, nm_products, row_wise_products};
use std::fs;
use std::path::{Path, PathBuf};

/// E, K, F of a layer, and the N:M of its weights.
#[derive(Debug, Clone, Copy)]
struct Product {
    e: u64,
    k: u64,
    f: u64,
    nm: Option<(u64, u64)>,
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cells = |line: &str| {
        line.split(',')
            .map(|c| c.trim().to_owned())
            .filter(|c| !c.is_empty())
            .collect::<Vec<_>>()
    };
    text.lines()
        .skip(1)
        .map(cells)
        .filter(|r| !r.is_empty())
        .collect()
}

fn topology(path: &Path) -> Vec<Product> {
    rows(path)
        .into_iter()
        .map(|row| {
            let n: Vec<u64> = row[1..].iter().map_while(|c| c.parse().ok()).collect();
            let nm = row
                .last()
                .and_then(|c| c.split_once(':'))
                .map(|(n, m)| (n.parse().expect("N"), m.parse().expect("M")));
            match n.as_slice() {
                &[m, n, k] => Product { e: m, k, f: n, nm },
                &[h, w, r, s, c, f, stride, ..] => {
                    let out = |size: u64, filter: u64| (size - filter + stride).div_ceil(stride);
                    Product {
                        e: out(h, r) * out(w, s),
                        k: r * s * c,
                        f,
                        nm,
                    }
                }
                other => panic!("{}: {other:?}", path.display()),
            }
        })
        .collect()
}

/// `<topology>_<rows>x<cols>_<dataflow>[_<mode>]`
fn named(name: &str) -> (String, Systolic) {
    let parts: Vec<&str> = name.split('_').collect();
    let at = parts
        .iter()
        .position(|p| {
            p.split_once('x')
                .is_some_and(|(h, w)| h.parse::<u32>().is_ok() && w.parse::<u32>().is_ok())
        })
        .expect("an array size");
    let (h, w) = parts[at].split_once('x').expect("a size");
    let dataflow = match parts[at + 1] {
        "ws" => Dataflow::WeightStationary,
        "os" => Dataflow::OutputStationary,
        "is" => Dataflow::InputStationary,
        other => panic!("{other}"),
    };
    (
        parts[..at].join("_"),
        Systolic {
            rows: h.parse().expect("rows"),
            cols: w.parse().expect("columns"),
            dataflow,
        },
    )
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1.0)
}

/// Compares every `calc` run below `root`; returns runs and layers.
fn full_runs(root: &Path) -> (usize, usize) {
    let (mut runs, mut layers) = (0, 0);
    let mut directories: Vec<PathBuf> = fs::read_dir(root.join("full_runs"))
        .expect("runs")
        .map(|d| d.expect("a run").path())
        .collect();
    directories.sort();
    for directory in directories {
        let name = directory
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let Some(stem) = name.strip_suffix("_calc") else {
            continue;
        };
        let (table, systolic) = named(stem);
        let row_wise: Option<u64> = table
            .strip_prefix("sp_row_block")
            .map(|b| b.parse().expect("a block size"));
        let table = match row_wise {
            Some(_) => "sp_conv_2of4".to_owned(),
            None => ["_s4k_bw4", "_csr", "_csc", "_ellpack_block"]
                .iter()
                .fold(table, |t, tail| {
                    t.strip_suffix(tail).map_or(t.clone(), str::to_owned)
                }),
        };
        let products = topology(&root.join("topologies").join(format!("{table}.csv")));
        let compute = rows(&directory.join("COMPUTE_REPORT.csv"));
        let access = rows(&directory.join("DETAILED_ACCESS_REPORT.csv"));
        assert_eq!(
            (products.len(), access.len()),
            (compute.len(), compute.len()),
            "{name}"
        );
        for ((product, compute), access) in products.iter().zip(&compute).zip(&access) {
            let k = match (row_wise, product.nm) {
                (Some(block), _) => row_wise_products(product.k, block),
                (None, Some((n, m))) => nm_products(product.k, n, m),
                (None, None) => Ok(product.k),
            }
            .expect("no overflow");
            let folds = Folds::new(systolic, product.e, k, product.f);
            let place = format!("{name}, layer {}", compute[0]);
            let number = |row: &[String], i: usize| row[i].parse::<f64>().expect("a number");
            assert_eq!(
                folds.scalesim_total_cycles().expect("no overflow") as f64,
                number(compute, 2),
                "{place}: total cycles"
            );
            assert_eq!(number(compute, 3), 0.0, "{place}: calc runs have no stalls");
            let words = folds.accesses().expect("no overflow");
            if row_wise.is_some() {
                // here the tool's efficiency counts the surviving weights, which it also reads from DRAM
                let slots =
                    folds.count().expect("no overflow") * u64::from(systolic.rows) * u64::from(systolic.cols);
                assert!(
                    near(number(access, 15) / slots as f64 * 100.0, number(compute, 5)),
                    "{place}: mapping efficiency"
                );
            } else {
                assert!(
                    near(folds.mapping_efficiency() * 100.0, number(compute, 5)),
                    "{place}: mapping efficiency"
                );
                assert_eq!(
                    words.filter_reads as f64,
                    number(access, 6),
                    "{place}: filter reads"
                );
                // with N:M weights the tool drops the inputs of pruned products at random
                if product.nm.is_none_or(|(n, m)| n == m) {
                    assert_eq!(
                        words.ifmap_reads as f64,
                        number(access, 3),
                        "{place}: ifmap reads"
                    );
                }
            }
            // the tool's output-stationary count has an extra folds·(h + w)
            let extra = if systolic.dataflow == Dataflow::OutputStationary {
                folds.count().expect("no overflow") * u64::from(systolic.rows + systolic.cols)
            } else {
                0
            };
            assert_eq!(
                (words.ofmap_writes + extra) as f64,
                number(access, 9),
                "{place}: ofmap writes"
            );
            layers += 1;
        }
        runs += 1;
    }
    (runs, layers)
}

#[test]
fn small_runs_equal_scale_sim() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/scalesim");
    let (runs, layers) = full_runs(&root);
    println!("{runs} runs, {layers} layers");
    assert_eq!((runs, layers), (46, 395));
}

#[test]
fn every_run_equals_scale_sim() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/scalesim");
    if !root.exists() {
        println!("skipped: ../shared not found");
        return;
    }
    let (runs, layers) = full_runs(&root);
    println!("full runs: {runs} runs, {layers} layers");
    assert_eq!((runs, layers), (50, 416));
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("compute_only"))
        .expect("files")
        .map(|f| f.expect("a file").path())
        .collect();
    files.sort();
    let mut compared = 0;
    for file in &files {
        let (_, systolic) = named(&file.file_stem().expect("a name").to_string_lossy());
        for row in rows(file) {
            let n: Vec<f64> = row[2..].iter().map(|c| c.parse().expect("a number")).collect();
            // these columns are E, K, F, whatever the dataflow
            let [e, k, f] = [n[0], n[1], n[2]].map(|v| v as u64);
            let folds = Folds::new(systolic, e, k, f);
            let words = folds.accesses().expect("no overflow");
            let place = format!("{}, layer {}", file.display(), row[0]);
            assert_eq!(
                folds.cycles().expect("no overflow") as f64,
                n[3],
                "{place}: cycles"
            );
            assert!(
                (folds.mapping_efficiency() * 100.0 - n[4]).abs() < 1e-5,
                "{place}: efficiency"
            );
            assert_eq!(
                (words.ifmap_reads as f64, words.filter_reads as f64),
                (n[6], n[7]),
                "{place}: reads"
            );
            let extra = if systolic.dataflow == Dataflow::OutputStationary {
                folds.count().expect("no overflow") * u64::from(systolic.rows + systolic.cols)
            } else {
                0
            };
            assert_eq!((words.ofmap_writes + extra) as f64, n[8], "{place}: writes");
            compared += 1;
        }
    }
    println!("compute only: {} files, {compared} layers", files.len());
    assert_eq!((files.len(), compared), (31, 451));
}

/// The engine adds groups and causes to the folds: 2 groups take twice as long, and the causes sum.
#[test]
fn groups_run_one_after_another() {
    let systolic = Systolic {
        rows: 16,
        cols: 8,
        dataflow: Dataflow::WeightStationary,
    };
    let profile = common::profile(vec![common::engine(
        "ws",
        500.0,
        8000.0,
        EngineKind::Systolic(systolic),
    )]);
    let nest = common::alexnet_conv4();
    let run = array(&common::work(nest, Weights::Density(1.0)), &profile, 0, None).expect("a run");
    let folds = Folds::new(systolic, 169, 1728, 192);
    assert_eq!(run.cycles, 2 * folds.cycles().expect("no overflow"));
    assert_eq!(run.causes.total(), Ok(run.cycles));
    assert_eq!(run.causes.compute, nest.macs() / 128);
    assert_eq!(run.causes.unused, 0);
}
