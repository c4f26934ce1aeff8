//! FPGA resource forms against synthesis runs of single PEs (Yosys 0.23, `synth_xilinx`).

#[path = "fidelity/synthesis.rs"]
mod synthesis;

use cosparse::hardware::resources::{Family, Resource, Resources};
use cosparse::hardware::zoo;
use synthesis::points;

#[test]
fn dsp_and_block_ram_are_exact() {
    for p in points() {
        assert_eq!(
            (p.modelled.dsp, p.modelled.bram18),
            (p.measured.dsp, p.measured.bram18),
            "{}",
            p.line
        );
    }
}

/// Exact but for queues of two entries, which synthesis may turn into registers.
#[test]
fn flip_flops_are_exact() {
    let mut compared = 0;
    for p in points().iter().filter(|p| p.fifo_depth != 2) {
        assert_eq!(p.modelled.ff, p.measured.ff, "{}", p.line);
        compared += 1;
    }
    assert!(compared > 80, "{compared}");
}

/// Mean error within 15 %, nine points in ten within 30 %: logic optimisation of odd widths is not modelled.
#[test]
fn look_up_tables_are_close() {
    let mut errors: Vec<f64> = points()
        .iter()
        .filter(|p| {
            assert!(p.measured.lut > 0 || p.modelled.lut == 0, "{}", p.line);
            p.measured.lut > 0
        })
        .map(|p| (p.modelled.lut as f64 / p.measured.lut as f64 - 1.0).abs())
        .collect();
    errors.sort_by(f64::total_cmp);
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let ninth = errors[errors.len() * 9 / 10];
    assert!(mean < 0.15, "mean of {} points: {mean}", errors.len());
    assert!(ninth < 0.30, "nine in ten of {} points: {ninth}", errors.len());
}

/// 16 x 12 PEs take 192 DSP slices and 192 x 16 flip-flops; the buffers take 86 + 114 block RAM halves.
#[test]
fn the_zynq_engines_fit_their_part() {
    let profile = zoo::find("zynq-7020").expect("shipped").profile().expect("valid");
    let dense = profile.resources(&profile.engines[0]).expect("an FPGA");
    assert_eq!(
        dense.used,
        Resources {
            dsp: 192,
            lut: 0,
            ff: 3072,
            bram18: 200,
            uram: 0
        }
    );
    assert!(dense.fits);
    assert_eq!(
        (dense.binding, dense.binding_portion),
        (Resource::Dsp, Some(192.0 / 220.0))
    );
    let sparse = profile.resources(&profile.engines[1]).expect("an FPGA");
    assert_eq!(
        sparse.used,
        Resources {
            dsp: 128,
            lut: 128 * 43,
            ff: 128 * 26,
            bram18: 200,
            uram: 0
        }
    );
    assert_eq!((sparse.binding, sparse.fits), (Resource::Bram18, true));

    let mut large = profile.clone();
    large.activation_bits = 32;
    let over = large.resources(&large.engines[0]).expect("an FPGA");
    assert_eq!((over.binding, over.fits), (Resource::Dsp, false));
    large.fpga.as_mut().expect("an FPGA").dsp = 0;
    let none = large.resources(&large.engines[0]).expect("an FPGA");
    assert_eq!(
        (none.binding, none.binding_portion, none.fits),
        (Resource::Dsp, None, false)
    );
}

#[test]
fn what_is_not_known_is_said() {
    let chip = zoo::find("tpu-v1-28nm")
        .expect("shipped")
        .profile()
        .expect("valid");
    let error = chip.resources(&chip.engines[0]).expect_err("no FPGA");
    assert!(error.to_string().contains("tpu-v1-28nm"));
    let mut board = zoo::find("zynq-7020").expect("shipped").profile().expect("valid");
    board.fpga.as_mut().expect("an FPGA").part.value = "5CSEMA5F31C6".into();
    let error = board.resources(&board.engines[0]).expect_err("another maker");
    assert!(error.to_string().contains("5CSEMA5F31C6"));
    for (part, family) in [
        ("xc7z020", Some(Family::Series7)),
        ("XCZU9EG", Some(Family::UltraScalePlus)),
        ("xcvu9p", Some(Family::UltraScalePlus)),
        ("xcku040", None),
    ] {
        assert_eq!(Family::of(part), family, "{part}");
    }
}
