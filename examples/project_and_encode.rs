//! A weight tensor on its constraint sets, and the bytes it takes: keep a tenth, move the rest onto 3-bit levels,
//! pack, unpack, compare.
//!
//! `cargo run --release --example project_and_encode`
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use cosparse::compression::encoding::{Encoding, best_width};
use cosparse::compression::precision::{Levels, Precision};
use cosparse::compression::structure::{Structure, TensorShape};
use cosparse::compression::{ConstraintSet, Mask, Target, pack};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (rows, cols) = (50, 500);
    let mut weights: Vec<f32> = (0..rows * cols).map(|i| (0.7 * i as f32).sin().powi(3)).collect();
    Structure::Unstructured
        .set(TensorShape::matrix(rows, cols), 2500)
        .project(&mut weights, &Mask::full(rows, cols));
    let mask = Mask::of(&weights, rows, cols);
    let levels = Levels::fit(Precision::equal_interval(3), &weights, &mask);
    levels.project(&mut weights, &mask);

    let target = Target {
        structure: Structure::Unstructured,
        density: mask.density(),
        precision: Precision::equal_interval(3),
        encoding: Encoding::RelativeIndex {
            bits: best_width(&mask, 3),
        },
        activation_bits: None,
    };
    let packed = pack::pack(&weights, rows, cols, target.encoding, &levels)?;
    println!(
        "{} weights of {} in {} bytes, {:?}",
        mask.count(),
        mask.len(),
        packed.bytes.len(),
        target.encoding
    );
    assert_eq!(
        pack::unpack(&packed.bytes)?.values,
        weights,
        "what is read is what was written"
    );
    Ok(())
}
