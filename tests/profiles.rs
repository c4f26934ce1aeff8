//! Hardware profiles: the shipped ones, what a bad file is told, and where their constants come from.

use cosparse::compression::encoding::Encoding;
use cosparse::document::Source;
use cosparse::hardware::{
    EngineKind, MemoryKind, Ports, Profile, TensorKind, citations, scale, sram_read_per_bit, template, zoo,
};
use cosparse::units::{Capacity, Energy};
use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;

fn shipped(name: &str) -> Profile {
    zoo::find(name).expect("shipped").profile().expect("valid")
}

/// The report a user sees for this text, without colour.
fn report(text: &str) -> String {
    let faults = Profile::from_source(&Source::new("mine.toml", text)).expect_err("the file has a fault");
    let mut out = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut out, &faults)
        .expect("a string takes any text");
    out
}

/// The template with one piece of text replaced; the piece must be there.
fn changed(from: &str, to: &str) -> String {
    assert!(template().contains(from), "the template has no `{from}`");
    template().replacen(from, to, 1)
}

#[test]
fn every_shipped_profile_is_read() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_profiles");
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .expect("the folder of profiles")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    let names: Vec<_> = files
        .iter()
        .map(|f| f.file_stem().expect("a file").to_string_lossy())
        .collect();
    assert_eq!(
        names,
        zoo::list().iter().map(|s| s.name).collect::<Vec<_>>(),
        "every file is shipped, by name"
    );
    for (file, shipped) in files.iter().zip(zoo::list()) {
        let profile = shipped
            .profile()
            .unwrap_or_else(|e| panic!("{:?}", miette::Report::new(e)));
        assert_eq!(profile.name, shipped.name);
        assert_eq!(Profile::open(file).expect("the same text"), profile);
    }
    assert!(zoo::find("no-such").is_none());
    let missing = Profile::open(std::path::Path::new("no/such.toml")).expect_err("no file");
    assert!(missing.to_string().contains("no/such.toml"), "{missing}");
}

#[test]
fn the_template_is_a_valid_profile() {
    let profile = Profile::from_source(&Source::new("template.toml", template())).expect("valid");
    assert_eq!(profile.engines.len(), 2);
}

/// What the template says in comments of rows, banks and ports may be written.
#[test]
fn rows_banks_and_ports_are_read() {
    let plain = Profile::from_source(&Source::new("template.toml", template())).expect("valid");
    let mut text = template().to_owned();
    for line in [
        "# ports = 1",
        "# banks = 4",
        "# [memories.dram",
        "# burst-bits",
        "# row-",
        "# banks = 8",
        "# activate",
    ] {
        assert!(text.contains(line), "the template has no `{line}`");
        text = text.replace(line, &line[2..]);
    }
    let given = "dram = { burst-bits = 512, source = \"assumed: fill in\" }\n";
    let (head, tail) = text.split_once(given).expect("the template has a DRAM");
    let text = format!(
        "{head}{}",
        tail.replacen("# source = \"data sheet\"", "source = \"data sheet\"", 2)
    );
    let profile = Profile::from_source(&Source::new("rows.toml", text)).expect("valid");
    let rows = profile.memories[2].rows.as_ref().expect("rows");
    assert_eq!((rows.row_bytes, rows.banks, rows.row_miss_cycles), (2048, 8, 20));
    let energy = rows.activate_energy.as_ref().expect("an energy");
    assert_eq!(
        (energy.value.value(), energy.source.as_str()),
        (2000.0, "data sheet")
    );
    assert_eq!(profile.memories[0].ports, Some(Ports::Shared { banks: 4 }));
    let shown: Vec<_> = profile.summary().into_iter().map(|row| row.value).collect();
    for words in [
        "1 in each of 4 banks, shared by both sides",
        "2048 bytes, 8 banks, 20 cycles to open one",
        "2000 pJ",
    ] {
        assert!(shown.iter().any(|value| value == words), "{words}: {shown:?}");
    }
    assert!(
        plain
            .memories
            .iter()
            .all(|memory| memory.rows.is_none() && memory.ports.is_none())
    );
}

/// `UPDATE_SCHEMAS=1 cargo test --test profiles` rewrites the file.
#[test]
fn the_json_schema_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_profiles/schema.json");
    let schema = cosparse::hardware::schema();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &schema).expect("writable");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == schema,
        "hw_profiles/schema.json is stale: run UPDATE_SCHEMAS=1 cargo test --test profiles"
    );
    let value: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    let rows = &value["$defs"]["Systolic"]["properties"]["rows"];
    assert_eq!((&rows["minimum"], &rows["maximum"]), (&1.into(), &65_536.into()));
    assert_eq!(value["additionalProperties"], false);
}

#[test]
fn unknown_keys_are_refused() {
    insta::assert_snapshot!(report(&changed("skip-zero-activations", "skip-zero-activation")));
}

#[test]
fn a_wrong_unit_is_refused() {
    insta::assert_snapshot!(report(&changed("400 MHz", "400 pJ")));
}

#[test]
fn an_array_without_rows_is_refused() {
    insta::assert_snapshot!(report(&changed("rows = 16", "rows = 0")));
}

#[test]
fn two_engines_of_one_name_are_refused() {
    insta::assert_snapshot!(report(&changed("name = \"sparse\"", "name = \"dense\"")));
}

#[test]
fn two_faults_are_reported_at_once() {
    let text = changed("fifo-depth = 8\n", "").replacen("\"0.31 pJ\"", "\"0.31 um2\"", 1);
    insta::assert_snapshot!(report(&text));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, a fault a row")]
fn cross_field_faults_name_their_cure() {
    let mut wrong = Vec::new();
    for (from, to, message) in [
        (
            "name = \"my-accelerator\"",
            "name = \"My accelerator\"",
            "is not a profile name",
        ),
        (
            "description = \"What this accelerator is, in a sentence.\"",
            "description = \" \"",
            "description is empty",
        ),
        ("value = 45,", "value = 4500,", "at most 1000"),
        ("weight-bits = 8", "weight-bits = 65", "at most 64"),
        (
            "source = \"assumed: fill in\"",
            "source = \"\"",
            "`source` is empty or too short",
        ),
        (
            "[area]\nsram-per-bit = { value = \"0.45 um2\", source = \"assumed: fill in\" }",
            "",
            "no `[area]`",
        ),
        ("bits = 4 }", "bits = 0 }", "`bits` is 0, it must be at least 1"),
        ("bits = 4 }", "bits = 17 }", "`bits` is 17, it must be at most 16"),
        (
            "synchronisation = \"fifo\"",
            "synchronisation = \"barrier\"",
            "`fifo-depth` without a FIFO",
        ),
        (
            "partition = \"row-interleaved\"",
            "partition = \"contiguous\"",
            "no columns to queue",
        ),
        (
            "fifo-depth = 8",
            "fifo-depth = 0",
            "`fifo-depth` is 0, it must be at least 1",
        ),
        (
            "synchronisation = \"fifo\"\nfifo-depth = 8",
            "synchronisation = \"layer-end\"",
            "cannot run free",
        ),
        (
            "holds = [\"weights\", \"indices\"]",
            "holds = []",
            "`holds` has 0 elements, it needs at least 1",
        ),
        (
            "holds = [\"weights\", \"indices\"]",
            "holds = [\"weights\", \"weights\"]",
            "named twice",
        ),
        (
            "holds = [\"weights\", \"indices\"]",
            "holds = [\"weights\"]",
            "no on-chip memory holds the indices",
        ),
        (
            "holds = [\"inputs\", \"outputs\"]",
            "holds = [\"inputs\"]",
            "no on-chip memory holds the outputs",
        ),
        (
            "name = \"feature-buffer\"",
            "name = \"weight-buffer\"",
            "already a memory",
        ),
        (
            "dram = { burst-bits = 512, source = \"assumed: fill in\" }",
            "",
            "neither a buffer nor the DRAM",
        ),
        (
            "burst-bits = 512",
            "burst-bits = 0",
            "`burst-bits` is 0, it must be at least 1",
        ),
        (
            "capacity = \"512 KiB\"",
            "capacity = \"0.3 bit\"",
            "not a whole number of bits",
        ),
        ("capacity = \"512 KiB\"", "capacity = \"1e9 GiB\"", "over 128 TiB"),
        (
            "bits-per-cycle = { value = 1024,",
            "bits-per-cycle = { value = 0,",
            "must be at least 1",
        ),
        ("multiply = \"0.2 pJ\"", "multiply = \"nan pJ\"", "multiply"),
        ("multiply = \"0.2 pJ\"", "multiply = \"inf pJ\"", "multiply"),
        (
            "# fpga-memory = \"bram\"",
            "fpga-memory = \"bram\"",
            "the profile has no `[fpga]`",
        ),
        (
            "dram = { burst-bits = 512, source = \"assumed: fill in\" }",
            "dram = { burst-bits = 512, source = \"x of y\", rows = { row-bytes = 2000, banks = 8, row-miss-cycles = 20, source = \"x of y\" } }",
            "`row-bytes` is 2000, no power of two",
        ),
        (
            "dram = { burst-bits = 512, source = \"assumed: fill in\" }",
            "dram = { burst-bits = 512, source = \"x of y\", rows = { row-bytes = 2000, banks = 8, row-miss-cycles = 20, source = \"x of y\" } }",
            "write 2048, or what the datasheet calls the page size",
        ),
        (
            "dram = { burst-bits = 512, source = \"assumed: fill in\" }",
            "dram = { burst-bits = 512, source = \"x of y\", rows = { row-bytes = 32, banks = 8, row-miss-cycles = 20, source = \"x of y\" } }",
            "a row of 256 bits is no whole number of bursts of 512 bits",
        ),
        (
            "dram = { burst-bits = 512, source = \"assumed: fill in\" }",
            "dram = { burst-bits = 512, source = \"x of y\", rows = { row-bytes = 0, banks = 8, row-miss-cycles = 20, source = \"x of y\" } }",
            "`row-bytes` is 0, it must be at least 1",
        ),
        (
            "dram = { burst-bits = 512, source = \"assumed: fill in\" }",
            "dram = { burst-bits = 512, source = \"x of y\", rows = { row-bytes = 4194304, banks = 8, row-miss-cycles = 20, source = \"x of y\" } }",
            "it must be at most 1048576",
        ),
        (
            "dram = { burst-bits = 512, source = \"assumed: fill in\" }",
            "dram = { burst-bits = 512, source = \"x of y\", rows = { row-bytes = 2048, banks = 0, row-miss-cycles = 20, source = \"x of y\" } }",
            "`banks` is 0, it must be at least 1",
        ),
        (
            "dram = { burst-bits = 512, source = \"assumed: fill in\" }",
            "dram = { burst-bits = 512, source = \"x of y\", rows = { row-bytes = 2048, banks = 8, row-miss-cycles = 0, source = \"x of y\" } }",
            "`row-miss-cycles` is 0, it must be at least 1",
        ),
        (
            "dram = { burst-bits = 512, source = \"assumed: fill in\" }",
            "dram = { burst-bits = 512, source = \"x of y\", rows = { row-bytes = 2048, banks = 8, row-miss-cycles = 20, source = \"\" } }",
            "`source` is empty or too short",
        ),
        (
            "dram = { burst-bits = 512, source = \"assumed: fill in\" }",
            "dram = { burst-bits = 512, source = \"x of y\", rows = { row-bytes = 2048, banks = 8, row-miss-cycles = 20, source = \"x of y\", activate-energy = { value = \"5 mW\", source = \"x of y\" } } }",
            "`mW` is not a unit of energy",
        ),
        (
            "holds = [\"weights\", \"indices\"]",
            "holds = [\"weights\", \"indices\"]\nports = 0",
            "`ports` is 0, it must be at least 1",
        ),
        (
            "holds = [\"weights\", \"indices\"]",
            "holds = [\"weights\", \"indices\"]\nports = 3",
            "`ports` is 3, it must be at most 2",
        ),
        (
            "holds = [\"weights\", \"indices\"]",
            "holds = [\"weights\", \"indices\"]\nports = 1\nbanks = 0",
            "`banks` is 0, it must be at least 1",
        ),
        (
            "holds = [\"weights\", \"indices\"]",
            "holds = [\"weights\", \"indices\"]\nports = 1\nbanks = 5000",
            "5000 banks, but the buffer has 4096 words of 1024 bits",
        ),
        (
            "holds = [\"weights\", \"indices\"]",
            "holds = [\"weights\", \"indices\"]\nbanks = 4",
            "`banks` without a port to share",
        ),
        (
            "holds = [\"weights\", \"indices\"]",
            "holds = [\"weights\", \"indices\"]\nports = 2\nbanks = 4",
            "add `ports = 1` beside it, or leave `banks` out",
        ),
        ("pes = 64", "pes = 0", "`pes` is 0, it must be at least 1"),
        ("multiply = \"0.2 pJ\"", "multiply = \"-1 pJ\"", "out of range"),
        (
            "multiply = \"0.2 pJ\"",
            "multiply = \"0.2 pj\"",
            "`pj` is not a unit of energy",
        ),
        (
            "multiply = \"0.2 pJ\"",
            "multiply = \"0.2\"",
            "write a number and one of the units",
        ),
    ] {
        let text = report(&changed(from, to));
        // the report wraps lines; compare without the frame
        let words = |t: &str| {
            t.split_whitespace()
                .filter(|w| *w != "│")
                .collect::<Vec<_>>()
                .join(" ")
        };
        if !words(&text).contains(&words(message)) {
            wrong.push(format!("`{to}` is told:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn missing_parts_are_refused() {
    let head = "name = \"x\"\ndescription = \"x\"\ntechnology-nm = { value = 45, source = \"x\" }\nengines = []\nmemories = []\n\
        [widths]\nweight-bits = 8\nactivation-bits = 8\naccumulator-bits = 8\nsource = \"x\"\n\
        [energy]\nmac = { bits = 8, multiply = \"1 pJ\", accumulate = \"1 pJ\", source = \"x\" }\n";
    let text = report(head);
    assert!(
        text.contains("`engines` has 0 elements") && text.contains("`memories` has 0 elements"),
        "{text}"
    );
    let systolic = "[engines.systolic]\nrows = 16\ncols = 16\ndataflow = \"output-stationary\"\nsource = \"assumed: fill in\"\n";
    assert!(report(&changed(systolic, "")).contains("the engine has no array"));
    let end = template()
        .find("[[memories]]\nname = \"dram\"")
        .expect("the template has a DRAM");
    let energy = template().find("[energy]").expect("the template has energies");
    let text = format!("{}{}", &template()[..end], &template()[energy..]);
    assert!(report(&text).contains("the last memory is not a DRAM"));
}

/// The area of 128 dense PEs and the dense weights of `AlexNet` CONV4 holds as many sparse PEs as the profile says,
/// beside the weights at 55 % pruned with their 4-bit indices and fillers.
#[test]
fn the_engines_of_admm_nn_are_equal_in_area() {
    let profile = shipped("admm-nn-40nm");
    let [dense, sparse] = profile.engines.as_slice() else {
        panic!("two engines")
    };
    let (EngineKind::Slices(d), EngineKind::Slices(s)) = (&dense.kind, &sparse.kind) else {
        panic!("slices")
    };
    let Some(Encoding::RelativeIndex { bits }) = s.index else {
        panic!("a relative index")
    };
    let area = |e: &cosparse::hardware::Engine| e.pe_area.as_ref().expect("modelled").value.value();
    let sram = profile
        .area
        .as_ref()
        .expect("modelled")
        .sram_per_bit
        .value
        .value();
    let (weights, width, pruned) = (384.0 * 192.0 * 9.0, f64::from(profile.weight_bits), 0.55f64);
    let cap = f64::from(d.pes) * area(dense) + weights * width * sram;
    let entries = (1.0 - pruned) / (1.0 - pruned.powi(1 << bits));
    let left = cap - weights * entries * (width + f64::from(bits)) * sram;
    assert_eq!(s.pes, (left / area(sparse)).floor() as u32);
    assert!((sparse.clock.value.value() / dense.clock.value.value() - 0.8).abs() < 1e-12);
}

/// Energies of a shipped profile as its sources give them, in pJ.
struct Derived {
    profile: &'static str,
    multiply: f64,
    accumulate: f64,
    decode: Option<f64>,
    registers: Option<f64>,
    /// One bit of each memory, read or written.
    memories: Vec<f64>,
}

/// The constants of the profiles, recomputed from the rows of the sources they cite. Energies in pJ at 45 nm:
/// Horowitz (ISSCC 2014, Fig. 1.1.9) multiplies 8 bits for 0.2 and adds 32 bits for 0.1, from which 16-bit 0.8 and
/// 0.05; the Sparseloop artifact's run-length counter takes 0.0241; Accelergy's Aladdin table reads a register bit
/// for 0.009 at 40 nm; a 64-bit DRAM access takes 1,300 (Horowitz) or 512 (LPDDR4, Accelergy).
#[test]
#[expect(clippy::too_many_lines, reason = "a table of the shipped profiles")]
fn shipped_energies_follow_from_their_sources() {
    let to = |pj: f64, from: u32, nm: u32| {
        scale(Energy::new(pj).expect("positive"), from, nm)
            .expect("both nodes known")
            .value()
    };
    let sram = |kib: f64, nm: u32| {
        let bank = Capacity::new(kib * 8192.0).expect("positive");
        to(sram_read_per_bit(bank), 45, nm)
    };
    // Kuon and Rose, TCAD 2007: dynamic power of an FPGA over a standard-cell circuit
    let fpga = 14.0;
    let eyeriss = to(0.85, 45, 65);
    let cases = [
        Derived {
            profile: "admm-nn-40nm",
            multiply: to(0.8, 45, 40),
            accumulate: to(0.1, 45, 40),
            decode: Some(to(0.0241, 45, 40)),
            registers: Some(96.0 * 0.009),
            memories: vec![sram(32.0, 40), sram(32.0, 40), 512.0 / 64.0],
        },
        Derived {
            profile: "bitfusion-like-45nm",
            multiply: 0.2,
            accumulate: 0.1,
            decode: None,
            registers: Some(to(80.0 * 0.009, 40, 45)),
            memories: vec![sram(32.0, 45), sram(32.0, 45), 512.0 / 64.0],
        },
        Derived {
            profile: "eie-45nm",
            multiply: 0.8,
            accumulate: 0.05,
            decode: Some(0.0241),
            registers: Some(to(64.0 * 0.009, 40, 45)),
            memories: vec![sram(128.0, 45), sram(2.0, 45), 1300.0 / 64.0],
        },
        Derived {
            profile: "eyeriss-65nm",
            multiply: to(0.8, 45, 65),
            accumulate: to(0.05, 45, 65),
            decode: None,
            registers: Some(4.0 * eyeriss),
            memories: vec![sram(8.0, 65), 6.0 * eyeriss / 16.0, 200.0 * eyeriss / 16.0],
        },
        Derived {
            profile: "nvdla-like-28nm",
            multiply: to(0.2, 45, 28),
            accumulate: to(0.1, 45, 28),
            decode: None,
            registers: Some(to(17.0 * 0.009, 40, 28)),
            memories: vec![sram(32.0, 28), sram(32.0, 28), 512.0 / 64.0],
        },
        Derived {
            profile: "nm-like",
            multiply: to(0.2, 45, 28),
            accumulate: to(0.1, 45, 28),
            decode: None,
            registers: Some(to(80.0 * 0.009, 40, 28)),
            memories: vec![sram(32.0, 28), sram(32.0, 28), 512.0 / 64.0],
        },
        Derived {
            profile: "scnn-like-16nm",
            multiply: to(0.8, 45, 16),
            accumulate: to(0.075, 45, 16),
            decode: Some(to(0.0241, 45, 16)),
            registers: Some(to(80.0 * 0.009, 40, 16)),
            memories: vec![sram(32.0, 16), sram(10.0, 16), 512.0 / 64.0],
        },
        Derived {
            profile: "sigma-like-28nm",
            multiply: to(0.8, 45, 28),
            accumulate: to(0.1, 45, 28),
            decode: Some(to(0.0241, 45, 28)),
            registers: Some(to(96.0 * 0.009, 40, 28)),
            memories: vec![sram(32.0, 28), sram(32.0, 28), 512.0 / 64.0],
        },
        Derived {
            profile: "tpu-v1-28nm",
            multiply: to(0.2, 45, 28),
            accumulate: to(0.1, 45, 28),
            decode: None,
            registers: Some(to(80.0 * 0.009, 40, 28)),
            memories: vec![sram(64.0, 28), sram(1024.0, 28), 1300.0 / 64.0],
        },
        Derived {
            profile: "zynq-7020",
            multiply: fpga * to(0.2, 45, 28),
            accumulate: fpga * to(0.1, 45, 28),
            decode: Some(fpga * to(0.0241, 45, 28)),
            registers: Some(fpga * to(80.0 * 0.009, 40, 28)),
            memories: vec![fpga * sram(2.25, 28), fpga * sram(2.25, 28), 1300.0 / 64.0],
        },
    ];
    assert_eq!(cases.len(), zoo::list().len());
    // files give four digits
    let close = |what: &str, file: f64, derived: f64| {
        assert!(
            (file / derived - 1.0).abs() < 5e-4,
            "{what}: the file says {file}, the source gives {derived}"
        );
    };
    for Derived {
        profile: name,
        multiply,
        accumulate,
        decode,
        registers,
        memories,
    } in cases
    {
        let profile = shipped(name);
        let mac = &profile.energy.mac.value;
        close(&format!("{name} multiply"), mac.multiply.value(), multiply);
        close(&format!("{name} accumulate"), mac.accumulate.value(), accumulate);
        for (what, figure, derived) in [
            ("decode", &profile.energy.decode_per_entry, decode),
            ("registers", &profile.energy.register_per_mac, registers),
        ] {
            assert_eq!(figure.is_some(), derived.is_some(), "{name} {what}");
            if let (Some(figure), Some(derived)) = (figure, derived) {
                close(&format!("{name} {what}"), figure.value.value(), derived);
            }
        }
        assert_eq!(profile.memories.len(), memories.len());
        for (memory, derived) in profile.memories.iter().zip(memories) {
            close(
                &format!("{name} {} read", memory.name),
                memory.read_per_bit.value.value(),
                derived,
            );
            close(
                &format!("{name} {} write", memory.name),
                memory.write_per_bit.value.value(),
                derived,
            );
        }
    }
    let hop = shipped("eyeriss-65nm").energy.hop_per_word.expect("modelled");
    close("eyeriss-65nm hop", hop.value.value(), 2.0 * eyeriss);
}

/// Published facts that a slip of the pen would spoil.
#[test]
fn shipped_structures_match_the_papers() {
    let EngineKind::Systolic(tpu) = shipped("tpu-v1-28nm").engines[0].kind else {
        panic!("systolic")
    };
    // 92 TOPS: two operations a MAC (Jouppi et al., Table 2)
    let tops =
        2.0 * f64::from(tpu.rows * tpu.cols) * shipped("tpu-v1-28nm").engines[0].clock.value.value() * 1e-6;
    assert!((tops - 92.0).abs() < 0.5, "{tops}");
    let eie = shipped("eie-45nm");
    let EngineKind::Slices(slices) = &eie.engines[0].kind else {
        panic!("slices")
    };
    // 102 GOP/s (abstract of the paper)
    let gops = 2.0 * f64::from(slices.pes) * eie.engines[0].clock.value.value() * 1e-3;
    assert!((gops - 102.0).abs() < 0.5, "{gops}");
    let eyeriss = shipped("eyeriss-65nm");
    // 33.6 GMAC/s peak (JSSC 2017, Table III)
    let EngineKind::RowStationary(array) = &eyeriss.engines[0].kind else {
        panic!("row-stationary")
    };
    let gmacs = f64::from(array.rows * array.cols) * eyeriss.engines[0].clock.value.value() * 1e-3;
    assert!((gmacs - 33.6).abs() < 0.01, "{gmacs}");
    let scnn = shipped("scnn-like-16nm");
    // 1024 multipliers, 7.9 mm2 of PEs (Parashar et al., ISCA 2017, Tables II and III, recalled)
    let EngineKind::Scatter(array) = &scnn.engines[0].kind else {
        panic!("scatter")
    };
    let pes = array.rows * array.cols;
    assert_eq!(pes * array.weights * array.activations, 1024);
    let [pe, bit] = [
        &scnn.engines[0].pe_area,
        &scnn.area.as_ref().map(|a| a.sram_per_bit.clone()),
    ]
    .map(|a| a.as_ref().expect("modelled").value.value());
    let area = f64::from(pes) * (pe + 20.0 * 8192.0 * bit) * 1e-6;
    assert!((area - 7.9).abs() < 0.05, "{area}");
}

/// One output row of one filter can be computed from the buffers in every layer of `AlexNet`, VGG-16 and
/// `ResNet-50` that asks most of them: the rows under the kernel with all channels, one filter with its indices,
/// and the output row, twice over where loads overlap compute.
#[test]
fn buffers_hold_the_smallest_tile_of_every_network() {
    // kernel, input columns with padding, channels a group, output columns; fully connected layers are 1 x 1
    let layers: [[u64; 4]; 12] = [
        [11, 227, 3, 55],  // AlexNet CONV1
        [5, 31, 48, 27],   // AlexNet CONV2
        [3, 15, 256, 13],  // AlexNet CONV3
        [1, 1, 9216, 1],   // AlexNet FC6
        [3, 226, 64, 224], // VGG-16 conv1_2
        [3, 114, 128, 112],
        [3, 58, 256, 56],
        [3, 30, 512, 28],
        [1, 1, 25088, 1], // VGG-16 fc6
        [7, 229, 3, 112], // ResNet-50 conv1
        [1, 56, 256, 56],
        [1, 7, 2048, 7],
    ];
    for profile in zoo::list().iter().map(|s| s.profile().expect("valid")) {
        // these cut layers by their mapping: `simulate_eyeriss.rs::every_layer_of_the_large_networks_has_a_mapping`
        if matches!(profile.engines[0].kind, EngineKind::RowStationary(_)) {
            continue;
        }
        let index = profile.engines.iter().find_map(|e| match &e.kind {
            EngineKind::Slices(slices) => slices.index,
            EngineKind::Scatter(_) => Some(e.kind.encoding()),
            _ => None,
        });
        let index_bits = if let Some(Encoding::RelativeIndex { bits }) = index {
            u64::from(bits)
        } else {
            0
        };
        for [kernel, columns, channels, outputs] in layers {
            let filter = kernel * kernel * channels;
            let need = |tensor: TensorKind| match tensor {
                TensorKind::Weights => filter * u64::from(profile.weight_bits),
                TensorKind::Indices => filter * index_bits,
                TensorKind::Inputs => kernel * columns * channels * u64::from(profile.activation_bits),
                TensorKind::Outputs => outputs * u64::from(profile.activation_bits),
            };
            for memory in &profile.memories {
                if let MemoryKind::Buffer {
                    capacity,
                    double_buffered,
                } = memory.kind
                {
                    let tile: u64 = memory.holds.iter().map(|&tensor| need(tensor)).sum();
                    let tile = if double_buffered { 2 * tile } else { tile };
                    let place = format!(
                        "{} {}: kernel {kernel}, {channels} channels",
                        profile.name, memory.name
                    );
                    assert!(
                        tile <= capacity.bits(),
                        "{place}: {tile} bits in {}",
                        capacity.bits()
                    );
                }
            }
        }
    }
}

#[test]
fn a_summary_says_what_is_not_modelled() {
    let rows = shipped("admm-nn-40nm").summary();
    let row = |section: &str, name: &str| {
        rows.iter()
            .find(|r| r.section == section && r.name == name)
            .unwrap_or_else(|| panic!("{section} {name}"))
    };
    assert_eq!(row("energy", "leakage").value, "not modelled");
    assert_eq!(row("engine sparse", "index").value, "relative index of 4 bits");
    assert_eq!(
        row("engine sparse", "synchronisation").value,
        "at the end of the layer"
    );
    assert_eq!(
        row("memory feature-buffer", "kind").value,
        "1024 KiB, double-buffered"
    );
    let clock = row("engine dense", "clock");
    assert_eq!(clock.value, "500 MHz");
    assert!(clock.source.as_ref().is_some_and(|s| s.starts_with("assumed: ")));
}

#[test]
fn every_source_of_a_file_is_listed() {
    for shipped in zoo::list() {
        let citations = citations(&shipped.source()).expect("valid");
        let written = shipped
            .text
            .lines()
            .map(|l| l.matches("source = ").count())
            .sum::<usize>();
        assert_eq!(citations.len(), written, "{}", shipped.name);
    }
    let citations = citations(&zoo::find("admm-nn-40nm").expect("shipped").source()).expect("valid");
    let port = citations
        .iter()
        .find(|c| c.place == "engines.sparse.slices.feature-port")
        .expect("listed");
    assert!(port.is_own_choice() && port.source.starts_with("fitted: "));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// No text makes the reader panic.
    #[test]
    fn reading_any_text_is_safe(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Profile::from_source(&Source::new("soup", text));
        let _ = Profile::from_source(&Source::new("soup", String::from_utf8_lossy(&bytes)));
    }

    /// A damaged profile is read or refused; what is read can be shown, and its resources be asked for.
    #[test]
    fn reading_a_damaged_profile_is_safe(
        which in 0..zoo::list().len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6usize), 1..4),
    ) {
        let mut lines: Vec<String> = zoo::list()[which].text.lines().map(Into::into).collect();
        for (at, other, kind) in damage {
            let (i, j) = (at.index(lines.len()), other.index(lines.len()));
            match kind {
                0 => { lines.remove(i); }
                1 => lines.swap(i, j),
                2 => { let line = lines[j].clone(); lines.insert(i, line); }
                // every count in turn becomes zero, huge, or a text
                3 => lines[i] = lines[i].replace(|c: char| c.is_ascii_digit(), "0"),
                4 => lines[i] = lines[i].replace("= ", "= 99999"),
                _ => { let cut = other.index(lines[i].len() + 1); lines[i] = lines[i].chars().take(cut).collect(); }
            }
        }
        match Profile::from_source(&Source::new("damaged", lines.join("\n"))) {
            Ok(profile) => {
                prop_assert!(!profile.summary().is_empty());
                for engine in &profile.engines {
                    let _ = profile.resources(engine);
                }
            }
            Err(faults) => prop_assert!(!faults.faults.is_empty()),
        }
    }
}
