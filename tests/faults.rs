//! What people see when a file has faults: every screen in full.

use cosparse::document::{DocumentError, Source};
use cosparse::network::{Workload, zoo};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

fn render(error: &dyn Diagnostic) -> String {
    let mut screen = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .with_links(false)
        .render_report(&mut screen, error)
        .expect("writing to a string");
    screen
}

/// The screen for a workload's text.
fn screen(text: &str) -> String {
    let faults = Workload::from_source(&Source::new("net.toml", text)).expect_err("the text has faults");
    render(&faults)
}

const HEAD: &str = "name = \"net\"\ndescription = \"a test\"\nsource = \"made up\"\ninput = { name = \"image\", shape = [1, 28, 28] }\n";

fn with_head(layers: &str) -> String {
    format!("{HEAD}\n{layers}")
}

#[test]
fn unknown_key() {
    insta::assert_snapshot!(screen(&with_head(
        "[[layer]]\nname = \"conv1\"\nop = \"conv\"\nout_channels = 20\nkernel = 5\n"
    )));
}

#[test]
fn several_faults_at_once() {
    insta::assert_snapshot!(screen(
        "name = \"net\"\ndescription = \"a test\"\ninput = { shape = [1, 0, 28] }\n\n\
         [[layer]]\nname = \"conv1\"\nop = \"cnov\"\nkernel = 5\n\n\
         [[layer]]\nname = \"conv2\"\nop = \"conv\"\nout-channels = \"20\"\nkernel = [5, 5, 5]\nstride = 0\ncolour = 3\n\n\
         [[layer]]\nname = \"relu\"\nop = \"activation\"\nfunction = \"rleu\"\n\n\
         [training]\noptimiser = \"adamw\"\nepochs = 9.0\nbatch = true\nlearning-rate = 0\nschedule = \"cosine\"\nwarm-up = 1.0\n"
    ));
}

#[test]
fn fields_against_each_other() {
    insta::assert_snapshot!(screen(&with_head(
        "[[layer]]\nname = \"fc1\"\nop = \"linear\"\nout-features = 10\nactivation-density = 0.5\n\n\
         [[layer]]\nname = \"add\"\nop = \"add\"\ninput = \"fc1\"\ninputs = [\"fc1\", \"fc1\"]\n\n\
         [training]\noptimiser = \"adam\"\nmomentum = 0.9\nepochs = 9\nbatch = 8\nlearning-rate = 1\nschedule = \"step\"\nstep-epochs = 3\n"
    )));
}

#[test]
fn cyclic_graph() {
    insta::assert_snapshot!(screen(&with_head(
        "[[layer]]\nname = \"first\"\nop = \"add\"\ninputs = [\"image\", \"second\"]\n\n\
         [[layer]]\nname = \"second\"\nop = \"activation\"\nfunction = \"relu\"\n\n\
         [[layer]]\nname = \"third\"\nop = \"flatten\"\n"
    )));
}

#[test]
fn unknown_inputs_and_a_name_given_twice() {
    insta::assert_snapshot!(screen(&with_head(
        "[[layer]]\nname = \"relu1\"\nop = \"activation\"\nfunction = \"relu\"\ninput = \"imgae\"\n\n\
         [[layer]]\nname = \"relu1\"\nop = \"activation\"\nfunction = \"relu\"\n\n\
         [[layer]]\nname = \"sum\"\nop = \"add\"\ninputs = [\"relu1\", \"elsewhere\"]\n"
    )));
}

#[test]
fn shapes_that_do_not_fit() {
    insta::assert_snapshot!(screen(&with_head(
        "[[layer]]\nname = \"conv1\"\nop = \"conv\"\nout-channels = 20\nkernel = 29\n\n\
         [[layer]]\nname = \"conv2\"\nop = \"conv\"\ninput = \"image\"\nout-channels = 20\nkernel = 5\ngroups = 3\n\n\
         [[layer]]\nname = \"sum\"\nop = \"add\"\ninputs = [\"conv1\", \"conv2\"]\n"
    )));
}

#[test]
fn two_to_the_forty_channels() {
    insta::assert_snapshot!(screen(&with_head(
        "[[layer]]\nname = \"conv1\"\nop = \"conv\"\nout-channels = 1_099_511_627_776\nkernel = 5\n"
    )));
}

#[test]
fn more_parameters_than_any_network_has() {
    insta::assert_snapshot!(screen(&with_head(
        "[[layer]]\nname = \"flatten\"\nop = \"flatten\"\n\n\
         [[layer]]\nname = \"fc1\"\nop = \"linear\"\nout-features = 1_000_000_000\n\n\
         [[layer]]\nname = \"fc2\"\nop = \"linear\"\nout-features = 10_000\n"
    )));
}

#[test]
fn two_ends() {
    insta::assert_snapshot!(screen(&with_head(
        "[[layer]]\nname = \"a\"\nop = \"flatten\"\n\n[[layer]]\nname = \"b\"\nop = \"softmax\"\ninput = \"image\"\n"
    )));
}

#[test]
fn not_toml() {
    insta::assert_snapshot!(screen("name = \"net\"\ndescription = \"a\nsource = 3"));
}

#[test]
fn empty_file() {
    insta::assert_snapshot!(screen(""));
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).expect("writing a file");
        path
    };
    let cause = |path: &std::path::Path| {
        let error = Source::read(path).expect_err("not readable");
        let screen = render(&error);
        assert!(screen.contains("help: "), "{screen}");
        error
    };
    assert!(matches!(
        cause(&directory.path().join("none.toml")),
        DocumentError::Missing { .. }
    ));
    assert!(matches!(cause(directory.path()), DocumentError::Directory { .. }));
    assert!(matches!(
        cause(&file("latin.toml", b"a = 1\nname = \"\xe9\"\n")),
        DocumentError::Encoding {
            offset: 14,
            line: 2,
            ..
        }
    ));
    let big = directory.path().join("big.toml");
    std::fs::File::create(&big)
        .and_then(|f| f.set_len((16 << 20) + 1))
        .expect("a sparse file");
    assert!(matches!(cause(&big), DocumentError::TooLarge { .. }));
    let (_, text) = zoo::list()[0];
    assert_eq!(
        Source::read(file("good.toml", text.as_bytes()))
            .expect("readable")
            .text,
        text
    );
}

#[test]
fn a_name_that_no_workload_has() {
    let error = Workload::find("lenet-5").expect_err("the name has no dash");
    insta::assert_snapshot!(render(&error));
    assert!(matches!(
        Workload::find("./lenet5"),
        Err(DocumentError::Missing { .. })
    ));
}
