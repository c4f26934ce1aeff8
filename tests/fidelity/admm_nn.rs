//! ADMM-NN (arXiv 1812.11677): Fig. 4 and Table 9, from the shipped profile.

use super::{Row, Study, Tolerance};
use cosparse::network::Workload;
use cosparse::simulate::break_even::{Curve, Pair, curve};
use cosparse::simulate::{ActivationBits, LayerWork, Weights};

/// Bar heights of Fig. 4 at 10 to 90 % pruned, read to ±0.02.
const FIGURE_4: [f64; 9] = [0.06, 0.20, 0.33, 0.52, 0.79, 1.17, 1.88, 3.02, 6.56];

/// A row of Table 9: the method, and per layer CONV1 to CONV5 the pruned portion in per cent (arXiv 1807.11091,
/// Tables 3 and 4; 0 is a layer that was left dense) and the speed-up; then the speed-up of all five.
type Method = (&'static str, [(f64, f64); 5], f64);

const TABLE_9: [Method; 5] = [
    (
        "Han 2015",
        [(16.0, 0.16), (62.0, 1.4), (65.0, 1.6), (63.0, 1.5), (63.0, 1.5)],
        0.64,
    ),
    (
        "Mao 2017",
        [(17.0, 0.17), (74.0, 2.6), (77.0, 3.0), (77.0, 3.0), (77.0, 3.0)],
        0.81,
    ),
    (
        "Wen 2016",
        [(14.7, 0.15), (76.2, 2.9), (85.3, 4.6), (81.5, 3.8), (76.3, 2.9)],
        0.77,
    ),
    (
        "ADMM-NN #1",
        [(0.0, 1.0), (93.0, 7.0), (94.3, 7.5), (93.6, 7.2), (93.5, 7.1)],
        3.6,
    ),
    (
        "ADMM-NN #2",
        [(0.0, 1.0), (97.0, 8.6), (98.0, 9.0), (97.5, 8.8), (97.0, 8.6)],
        3.9,
    ),
];

/// The equal-area curve of `AlexNet`'s CONV4 on the shipped profile.
fn conv4(portions: &[f64]) -> Curve {
    let profile = super::shipped("admm-nn-40nm");
    let workload = Workload::find("alexnet").expect("AlexNet is shipped");
    let layer = workload
        .network
        .weighted()
        .find(|l| l.name == "conv4")
        .expect("AlexNet has a conv4");
    let work = LayerWork {
        name: "conv4",
        nest: layer.nest.expect("a convolution multiplies"),
        weights: Weights::Density(1.0),
        weight_bits: profile.weight_bits,
        activation_bits: ActivationBits::all(profile.activation_bits),
        activation_density: 1.0,
        input_elements: 0,
        output_elements: 0,
        input_from_dram: false,
        output_to_dram: false,
        output_density: 1.0,
        mapping: None,
        fused: None,
    };
    curve(&work, &profile, Pair { dense: 0, sparse: 1 }, portions).expect("a curve")
}

/// Nine speed-ups and the crossing.
pub(crate) fn figure_4() -> Study {
    let portions: Vec<f64> = (1..=9).map(|i| f64::from(i) / 10.0).collect();
    let curve = conv4(&portions);
    let source = "arXiv 1812.11677, Fig. 4";
    let mut rows: Vec<Row> = curve
        .points
        .iter()
        .zip(FIGURE_4)
        .map(|(point, published)| Row {
            source,
            subject: format!("CONV4 at {:.0} % pruned", 100.0 * point.pruned_portion),
            quantity: "speed-up",
            published,
            modelled: point.speedup,
            tolerance: Tolerance::PortionOr(0.15, 0.05),
        })
        .collect();
    rows.push(Row {
        source,
        subject: "CONV4".into(),
        quantity: "pruned portion at speed-up 1",
        published: 0.55,
        modelled: curve.crossing.expect("the curve crosses 1"),
        tolerance: Tolerance::PortionOr(0.0, 0.03),
    });
    Study {
        name: "admm-nn-fig4",
        title: "ADMM-NN, Fig. 4: break-even of AlexNet CONV4 at equal area",
        note: "The areas of both PEs are fitted to this figure (two combinations of them matter); PE count, SRAM macro, \
               clock ratio, index width and cycles an entry are stated in the profile with their sources.",
        may_miss: 0.0,
        rows,
    }
}

/// Every layer of every method at its published pruned portion on CONV4's curve, and the five together: all
/// operations over the sum of each layer's operations through its speed-up.
pub(crate) fn table_9() -> Study {
    // operations of CONV1 to CONV5 in millions (arXiv 1812.11677, Table 8)
    const OPERATIONS: [f64; 5] = [211.0, 448.0, 299.0, 224.0, 150.0];
    let source = "arXiv 1812.11677, Table 9";
    let mut rows = Vec::new();
    for (method, layers, total) in TABLE_9 {
        let mut time = 0.0;
        for (i, (pruned, published)) in layers.into_iter().enumerate() {
            let modelled = if pruned == 0.0 {
                1.0 // below its break-even: the dense engine runs it
            } else {
                conv4(&[pruned / 100.0]).points[0].speedup
            };
            time += OPERATIONS[i] / modelled;
            rows.push(Row {
                source,
                subject: format!("{method}, CONV{} at {pruned} % pruned", i + 1),
                quantity: "speed-up",
                published,
                modelled,
                tolerance: Tolerance::PortionOr(0.15, 0.05),
            });
        }
        rows.push(Row {
            source,
            subject: format!("{method}, CONV1-5"),
            quantity: "speed-up",
            published: total,
            modelled: OPERATIONS.iter().sum::<f64>() / time,
            tolerance: Tolerance::Portion(0.15),
        });
    }
    Study {
        name: "admm-nn-table9",
        title: "ADMM-NN, Table 9: five methods on AlexNet CONV1 to CONV5",
        note: "Every column of the table follows CONV4's curve, so one layer was evaluated at each row's sparsity; so it is \
               here. Fillers make the saturation at high sparsity; the words a cycle of the feature port are fitted to it.",
        may_miss: 0.0,
        rows,
    }
}
