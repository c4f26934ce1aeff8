//! How files write a structure: a word, or a table with its `kind`.

use super::Structure;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

/// A structure as files write it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Form {
    Word(Word),
    Table(Table),
}

/// The structures without numbers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// Any weight may be zero.
    Unstructured,
    /// Whole filters: rows of the GEMM matrix.
    Filter,
    /// Whole input channels.
    Channel,
    /// Whole columns of the GEMM matrix: the same channel and kernel position of every filter.
    Shape,
    /// Filters and columns together, in portions that are the square root of the density.
    FilterShape,
    /// The same number of weights for every output.
    BalancedRows,
}

/// The structures with numbers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub(super) enum Table {
    /// Filters and columns together; the rest is a dense matrix.
    FilterShape {
        /// Filters kept; as many columns as then fit the density.
        #[schemars(range(min = 1))]
        filters: u32,
    },
    /// Blocks of the GEMM matrix.
    Block {
        /// Rows of a block.
        #[schemars(range(min = 1))]
        rows: u32,
        /// Columns of a block.
        #[schemars(range(min = 1))]
        cols: u32,
    },
    /// Segments of rows inside chunks of columns.
    BlockRow {
        /// Columns of a chunk.
        #[schemars(range(min = 1))]
        cols: u32,
    },
    /// Segments of columns inside chunks of rows.
    BlockColumn {
        /// Rows of a chunk.
        #[schemars(range(min = 1))]
        rows: u32,
    },
    /// At most `keep` weights of each `group` neighbours along a GEMM row.
    #[serde(rename = "n-m")]
    NM {
        /// Weights kept of a group, N.
        #[schemars(range(min = 1, max = 64))]
        keep: u32,
        /// Weights of a group, M.
        #[schemars(range(min = 1, max = 64))]
        group: u32,
    },
    /// Every kernel has one pattern of a library, and whole kernels may leave.
    Pattern {
        /// Positions of a pattern, fewer than a kernel has.
        #[schemars(range(min = 1, max = 127))]
        entries: u32,
        /// Patterns of the library, which is fitted to the weights.
        #[schemars(range(min = 1, max = 256))]
        library: u32,
    },
    /// The same number of weights for every processing element; rows are dealt to them in turn.
    BalancedPes {
        /// Processing elements.
        #[schemars(range(min = 1))]
        pes: u32,
    },
}

impl From<Form> for Structure {
    fn from(form: Form) -> Self {
        match form {
            Form::Word(Word::Unstructured) => Self::Unstructured,
            Form::Word(Word::Filter) => Self::Filter,
            Form::Word(Word::Channel) => Self::Channel,
            Form::Word(Word::Shape) => Self::Shape,
            Form::Word(Word::FilterShape) => Self::FilterShape { filters: None },
            Form::Word(Word::BalancedRows) => Self::BalancedRows,
            Form::Table(Table::FilterShape { filters }) => Self::FilterShape {
                filters: Some(filters),
            },
            Form::Table(Table::Block { rows, cols }) => Self::Block { rows, cols },
            Form::Table(Table::BlockRow { cols }) => Self::BlockRow { cols },
            Form::Table(Table::BlockColumn { rows }) => Self::BlockColumn { rows },
            Form::Table(Table::NM { keep, group }) => Self::NM { keep, group },
            Form::Table(Table::Pattern { entries, library }) => Self::Pattern { entries, library },
            Form::Table(Table::BalancedPes { pes }) => Self::BalancedPes { pes },
        }
    }
}

impl From<Structure> for Form {
    fn from(structure: Structure) -> Self {
        match structure {
            Structure::Unstructured => Self::Word(Word::Unstructured),
            Structure::Filter => Self::Word(Word::Filter),
            Structure::Channel => Self::Word(Word::Channel),
            Structure::Shape => Self::Word(Word::Shape),
            Structure::FilterShape { filters: None } => Self::Word(Word::FilterShape),
            Structure::FilterShape {
                filters: Some(filters),
            } => Self::Table(Table::FilterShape { filters }),
            Structure::Block { rows, cols } => Self::Table(Table::Block { rows, cols }),
            Structure::BlockRow { cols } => Self::Table(Table::BlockRow { cols }),
            Structure::BlockColumn { rows } => Self::Table(Table::BlockColumn { rows }),
            Structure::NM { keep, group } => Self::Table(Table::NM { keep, group }),
            Structure::Pattern { entries, library } => Self::Table(Table::Pattern { entries, library }),
            Structure::BalancedRows => Self::Word(Word::BalancedRows),
            Structure::BalancedPes { pes } => Self::Table(Table::BalancedPes { pes }),
        }
    }
}

impl JsonSchema for Structure {
    fn schema_name() -> Cow<'static, str> {
        "Structure".into()
    }

    /// One flat list of words and tables, so that a fault is told of the one that was meant.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut all = Vec::new();
        for schema in [Word::json_schema(generator), Table::json_schema(generator)] {
            match schema.get("oneOf").and_then(Value::as_array) {
                Some(variants) => all.extend(variants.iter().cloned()),
                None => all.push(schema.to_value()),
            }
        }
        let mut schema = Schema::default();
        schema.insert("description".into(), "Where zeros may stand.".into());
        schema.insert("oneOf".into(), Value::Array(all));
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::Structure;
    use serde_json::json;

    #[test]
    fn words_and_tables_read_back() {
        for (structure, form) in [
            (Structure::Unstructured, json!("unstructured")),
            (Structure::FilterShape { filters: None }, json!("filter-shape")),
            (
                Structure::FilterShape { filters: Some(3) },
                json!({"kind": "filter-shape", "filters": 3}),
            ),
            (
                Structure::NM { keep: 2, group: 4 },
                json!({"kind": "n-m", "keep": 2, "group": 4}),
            ),
            (
                Structure::BlockRow { cols: 64 },
                json!({"kind": "block-row", "cols": 64}),
            ),
        ] {
            assert_eq!(serde_json::to_value(structure).expect("it has a form"), form);
            let read: Structure = serde_json::from_value(form).expect("it is a structure");
            assert_eq!(read, structure);
        }
    }
}
