//! Activation densities by layer: measured by running a network on its data, and the CSV file that keeps them.
//!
//! | column | holds |
//! |---|---|
//! | `layer` | a layer that multiplies |
//! | `density` | portion of its input elements that are not zero, 0 to 1 |
//! | `elements`, `zeros` | input elements over all samples, and those that are zero; both or neither |

use crate::document::{Fault, Faults, Source, nearest};
use crate::network::{Layer, Network};
use crate::training::data::Samples;
use crate::training::{LayerActivity, Parameters, TrainingError, input_activity};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActivationRow {
    /// The layer.
    pub layer: String,
    /// Portion of its input elements that are not zero.
    pub density: f64,
    /// Input elements, all samples.
    pub elements: u64,
    /// Those that are zero.
    pub zeros: u64,
}

impl From<LayerActivity> for ActivationRow {
    fn from(counted: LayerActivity) -> Self {
        let LayerActivity {
            layer,
            elements,
            zeros,
        } = counted;
        Self {
            density: density(elements, zeros),
            layer,
            elements,
            zeros,
        }
    }
}

fn density(elements: u64, zeros: u64) -> f64 {
    if elements == 0 {
        1.0
    } else {
        (elements - zeros.min(elements)) as f64 / elements as f64
    }
}

/// Densities of layers' inputs, each in [0, 1].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Activations {
    densities: BTreeMap<String, f64>,
}

impl Activations {
    /// Counts the zeros of every multiplying layer's input while the network runs on all of `samples`, in evaluation
    /// mode; the rows are in the network's order.
    ///
    /// # Errors
    /// When the parameters or the samples do not fit the network.
    pub fn measure(
        network: &Network,
        parameters: Parameters,
        samples: &Samples,
    ) -> Result<(Self, Vec<ActivationRow>), TrainingError> {
        let counted = input_activity(network, parameters, samples)?;
        let rows: Vec<ActivationRow> = counted.into_iter().map(ActivationRow::from).collect();
        let densities = rows.iter().map(|row| (row.layer.clone(), row.density)).collect();
        Ok((Self { densities }, rows))
    }

    /// Reads a file for a network; layers that it leaves out have no density.
    ///
    /// # Errors
    /// All faults of the file, each at its line: columns, layers that do not multiply, densities outside [0, 1], and
    /// counts that say another density.
    pub fn from_csv(source: &Source, network: &Network) -> Result<Self, Faults> {
        let multiplying = network.layers().filter(|(_, layer)| layer.nest.is_some());
        let names: Vec<&str> = multiplying.map(|(_, layer)| layer.name.as_str()).collect();
        let mut file = Reader {
            source,
            names,
            faults: Vec::new(),
        };
        let densities = file.read();
        if file.faults.is_empty() {
            Ok(Self { densities })
        } else {
            Err(source.faults(file.faults))
        }
    }

    /// The density of a layer's input, where it is known. Costs are of at least one element that is not zero, so no
    /// density is less than the portion of one.
    #[must_use]
    pub fn density(&self, network: &Network, layer: &Layer) -> Option<f64> {
        let density = *self.densities.get(&layer.name)?;
        let input = layer
            .inputs
            .first()
            .map(|&id| network.layer(id).output.elements());
        Some(density.max(1.0 / input.unwrap_or(1).max(1) as f64))
    }
}

/// A file being read.
struct Reader<'a> {
    source: &'a Source,
    names: Vec<&'a str>,
    faults: Vec<Fault>,
}

/// Where each column stands in a line.
struct Columns {
    layer: usize,
    density: usize,
    counts: Option<[usize; 2]>,
    all: usize,
}

const COLUMNS: [&str; 4] = ["layer", "density", "elements", "zeros"];

impl Reader<'_> {
    fn read(&mut self) -> BTreeMap<String, f64> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(self.source.text.as_bytes());
        let mut columns = None;
        let mut densities = BTreeMap::new();
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    self.fault(
                        0..0,
                        format!("the file is not CSV: {error}"),
                        "write one line per layer",
                    );
                    return densities;
                }
            };
            let line = self.line(record.position().map_or(0, csv::Position::byte));
            match &columns {
                None => match self.columns(&record, &line) {
                    Some(found) => columns = Some(found),
                    None => return densities,
                },
                Some(columns) => self.row(&record, columns, &line, &mut densities),
            }
        }
        if densities.is_empty() && self.faults.is_empty() {
            let help = format!(
                "write a line `layer,density` and one for each layer of {}",
                self.list()
            );
            self.fault(0..0, "the file has no activation densities", help);
        }
        densities
    }

    /// The line that begins at a byte, empty lines before it aside.
    fn line(&self, byte: u64) -> Range<usize> {
        let text = &self.source.text;
        let from = usize::try_from(byte).map_or(text.len(), |byte| byte.min(text.len()));
        let rest = text.get(from..).unwrap_or_default();
        let from = from + (rest.len() - rest.trim_start().len());
        let rest = text.get(from..).unwrap_or_default();
        from..from + rest.lines().next().map_or(0, str::len)
    }

    fn fault(&mut self, at: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::new(at, message, help));
    }

    fn list(&self) -> String {
        self.names.join(", ")
    }

    fn columns(&mut self, record: &csv::StringRecord, line: &Range<usize>) -> Option<Columns> {
        let cure = "the first line is `layer,density` or `layer,density,elements,zeros`";
        let before = self.faults.len();
        for (i, name) in record.iter().enumerate() {
            if !COLUMNS.contains(&name) {
                self.fault(line.clone(), format!("there is no column `{name}`"), cure);
            } else if record.iter().take(i).any(|other| other == name) {
                self.fault(line.clone(), format!("the column `{name}` stands twice"), cure);
            }
        }
        let place = |name: &str| record.iter().position(|column| column == name);
        let [layer, density, elements, zeros] = COLUMNS.map(place);
        for (name, at) in [("layer", layer), ("density", density)] {
            if at.is_none() {
                self.fault(line.clone(), format!("the column `{name}` is missing"), cure);
            }
        }
        if elements.is_some() != zeros.is_some() {
            self.fault(
                line.clone(),
                "`elements` and `zeros` stand together or not at all",
                cure,
            );
        }
        (self.faults.len() == before).then_some(())?;
        Some(Columns {
            layer: layer?,
            density: density?,
            counts: elements.zip(zeros).map(|(elements, zeros)| [elements, zeros]),
            all: record.len(),
        })
    }

    fn row(
        &mut self,
        record: &csv::StringRecord,
        columns: &Columns,
        line: &Range<usize>,
        densities: &mut BTreeMap<String, f64>,
    ) {
        if record.len() != columns.all {
            let message = format!(
                "the line has {} cells, the first line {}",
                record.len(),
                columns.all
            );
            return self.fault(line.clone(), message, "give every column a cell");
        }
        let layer = &record[columns.layer];
        if !self.names.contains(&layer) {
            let near = nearest(layer, self.names.iter().copied());
            let near = near.map_or_else(String::new, |name| format!("did you mean `{name}`? "));
            let help = format!("{near}layers that multiply: {}", self.list());
            return self.fault(
                line.clone(),
                format!("the network has no layer `{layer}` that multiplies"),
                help,
            );
        }
        let cell = &record[columns.density];
        let density = match cell.parse::<f64>() {
            Ok(density) if (0.0..=1.0).contains(&density) => density,
            _ => {
                return self.fault(
                    line.clone(),
                    format!("layer `{layer}`: the density `{cell}` is not a number from 0 to 1"),
                    "write the portion of the layer's input elements that are not zero",
                );
            }
        };
        if let Some(counts) = columns.counts {
            let [elements, zeros] = counts.map(|at| record[at].parse::<u64>().ok());
            let agree = elements
                .zip(zeros)
                .is_some_and(|(e, z)| e > 0 && z <= e && self::density(e, z).to_bits() == density.to_bits());
            if !agree {
                return self.fault(
                    line.clone(),
                    format!(
                        "layer `{layer}`: {} zeros of {} elements are not a density of {cell}",
                        &record[counts[1]], &record[counts[0]]
                    ),
                    "write whole numbers whose density this is, or leave both columns out",
                );
            }
        }
        if densities.insert(layer.to_owned(), density).is_some() {
            self.fault(
                line.clone(),
                format!("layer `{layer}` stands twice"),
                "keep one of its lines",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Workload;
    use proptest::prelude::*;

    fn network() -> Network {
        Workload::find("lenet-300-100").expect("it is shipped").network
    }

    fn read(text: &str) -> Result<Activations, Faults> {
        Activations::from_csv(&Source::new("a.csv", text), &network())
    }

    fn layer(network: &Network, name: &str) -> Layer {
        network.layer(network.find(name).expect("a layer")).clone()
    }

    #[test]
    fn layers_that_are_left_out_have_no_density() {
        let network = network();
        let read = read("density,layer\n0.25,fc2\n\n0,fc3\n").expect("two densities");
        let of = |name| read.density(&network, &layer(&network, name));
        assert_eq!(of("fc1"), None);
        assert_eq!(of("fc2"), Some(0.25));
        // of 100 inputs at least one is not zero
        assert_eq!(of("fc3"), Some(0.01));
    }

    #[test]
    fn every_fault_is_said_at_its_line() {
        let text = "layer,density,elements,zeros\nfc4,0.5,4,2\nfc1,1.5,4,2\nfc2,0.5,4,1\nfc3,0.5,4,2\nfc3,0.5,4,2\nfc1,0.5\nfc1,nan,1,0\n";
        let faults = read(text).expect_err("six faults").faults;
        let said: Vec<(&str, &str)> = faults
            .iter()
            .map(|f| {
                (
                    f.message.as_str(),
                    &text[f.span.offset()..f.span.offset() + f.span.len()],
                )
            })
            .collect();
        assert_eq!(
            said,
            [
                ("the network has no layer `fc4` that multiplies", "fc4,0.5,4,2"),
                (
                    "layer `fc1`: the density `1.5` is not a number from 0 to 1",
                    "fc1,1.5,4,2"
                ),
                (
                    "layer `fc2`: 1 zeros of 4 elements are not a density of 0.5",
                    "fc2,0.5,4,1"
                ),
                ("layer `fc3` stands twice", "fc3,0.5,4,2"),
                ("the line has 2 cells, the first line 4", "fc1,0.5"),
                (
                    "layer `fc1`: the density `nan` is not a number from 0 to 1",
                    "fc1,nan,1,0"
                ),
            ]
        );
    }

    #[test]
    fn wrong_columns_are_named() {
        for (text, message) in [
            ("", "the file has no activation densities"),
            ("layer,density\n", "the file has no activation densities"),
            ("layer\nfc1\n", "the column `density` is missing"),
            (
                "layer,density,zeros\n",
                "`elements` and `zeros` stand together or not at all",
            ),
            ("layer,density,density\n", "the column `density` stands twice"),
            ("layer,density,sparsity\n", "there is no column `sparsity`"),
        ] {
            let faults = read(text).expect_err("a fault").faults;
            assert_eq!(faults[0].message, message);
        }
    }

    proptest! {
        /// What is counted is written and read as the same density, to the bit.
        #[test]
        fn a_written_file_reads_back(counts in prop::collection::vec((1u64..1 << 50, 0.0..=1.0f64), 3)) {
            let names = ["fc1", "fc2", "fc3"];
            let rows: Vec<ActivationRow> = names.iter().zip(&counts).map(|(name, &(elements, portion))| {
                let zeros = (portion * elements as f64) as u64;
                LayerActivity { layer: (*name).into(), elements, zeros: zeros.min(elements) }.into()
            }).collect();
            let mut writer = csv::Writer::from_writer(Vec::new());
            for row in &rows {
                writer.serialize(row).expect("flat");
            }
            let text = String::from_utf8(writer.into_inner().expect("in memory")).expect("text");
            let read = read(&text).expect("what was written");
            for row in &rows {
                prop_assert_eq!(read.densities[&row.layer].to_bits(), row.density.to_bits());
            }
        }

        /// Reading any text ends in densities or faults.
        #[test]
        fn reading_any_text_is_safe(text in "(layer|density|elements|zeros|fc1|fc2|0.5|[,\"\n\r é0-9.-]){0,40}") {
            let _ = read(&text);
        }
    }
}
