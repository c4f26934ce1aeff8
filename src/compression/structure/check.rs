//! What a structure asks of its numbers and of the tensor.

use super::pattern::MOST_POSITIONS;
use super::{Structure, TensorShape};

/// Why a structure cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    /// N of M needs 1 ≤ N ≤ M ≤ 64.
    #[error("{keep} of {group} does not make sense: N of M needs 1 <= `keep` <= `group` <= 64")]
    Group {
        /// N.
        keep: u32,
        /// M.
        group: u32,
    },
    /// A number of rows, columns, filters, entries or elements is zero, or too many.
    #[error("`{field}` is {value}: write {least} to {most}")]
    Number {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The least that there can be.
        least: u32,
        /// The most that there can be.
        most: u32,
    },
    /// A block has more rows or columns than the matrix.
    #[error(
        "a block of {rows} x {cols} is larger than the layer's {matrix_rows} x {matrix_cols} matrix: take smaller blocks"
    )]
    Block {
        /// Rows of a block.
        rows: u32,
        /// Columns of a block.
        cols: u32,
        /// GEMM rows.
        matrix_rows: usize,
        /// GEMM columns.
        matrix_cols: usize,
    },
    /// The layer has no kernels that a pattern fits.
    #[error(
        "patterns of {entries} need kernels of more positions than that, up to {MOST_POSITIONS}; the layer's have {} x {}: take another structure, as \"unstructured\"",
        kernel[0], kernel[1]
    )]
    Kernel {
        /// Positions of a pattern.
        entries: u32,
        /// The layer's kernel rows and columns.
        kernel: [usize; 2],
    },
    /// There are more filters or processing elements than rows.
    #[error("`{field}` is {value}, the layer has {rows} filters: write at most {rows}")]
    Rows {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
        /// GEMM rows.
        rows: usize,
    },
    /// The density asks for more weights than the structure can leave.
    #[error(
        "the density keeps {kept} weights, the structure leaves at most {most} of {all}: write a density of at most {:.4}",
        (*most as f64 / *all as f64 * 1e4).floor() / 1e4
    )]
    Density {
        /// Weights asked for.
        kept: usize,
        /// The most that stay.
        most: usize,
        /// Weights of the layer.
        all: usize,
    },
}

impl Structure {
    /// Whether its numbers make sense, whatever the tensor.
    ///
    /// # Errors
    /// The first number that does not.
    pub fn check(self) -> Result<(), StructureError> {
        let within = |field, value: u32, least, most| {
            let fault = StructureError::Number {
                field,
                value,
                least,
                most,
            };
            (least..=most).contains(&value).then_some(()).ok_or(fault)
        };
        match self {
            Self::FilterShape {
                filters: Some(filters),
            } => within("filters", filters, 1, u32::MAX),
            Self::Block { rows, cols } => {
                within("rows", rows, 1, u32::MAX)?;
                within("cols", cols, 1, u32::MAX)
            }
            Self::BlockRow { cols } => within("cols", cols, 1, u32::MAX),
            Self::BlockColumn { rows } => within("rows", rows, 1, u32::MAX),
            Self::NM { keep, group } if keep == 0 || keep > group || group > 64 => {
                Err(StructureError::Group { keep, group })
            }
            Self::Pattern { entries, library } => {
                within("entries", entries, 1, MOST_POSITIONS as u32 - 1)?;
                within("library", library, 1, 256)
            }
            Self::BalancedPes { pes } => within("pes", pes, 1, u32::MAX),
            Self::Unstructured
            | Self::Filter
            | Self::Channel
            | Self::Shape
            | Self::FilterShape { filters: None }
            | Self::NM { .. }
            | Self::BalancedRows => Ok(()),
        }
    }

    /// Whether a tensor can have this structure and `keep` weights left.
    ///
    /// # Errors
    /// When its numbers make no sense ([`Structure::check`]), the tensor cannot hold it, or it cannot leave so many.
    pub fn fits(self, shape: TensorShape, keep: usize) -> Result<(), StructureError> {
        self.check()?;
        let (rows, cols) = (shape.rows(), shape.cols());
        let block = |r: u32, c: u32| {
            let fault = StructureError::Block {
                rows: r,
                cols: c,
                matrix_rows: rows,
                matrix_cols: cols,
            };
            (r as usize <= rows && c as usize <= cols)
                .then_some(())
                .ok_or(fault)
        };
        let in_rows = |field, value: u32| {
            let fault = StructureError::Rows { field, value, rows };
            (value as usize <= rows).then_some(()).ok_or(fault)
        };
        match self {
            Self::Block { rows, cols } => block(rows, cols)?,
            Self::BlockRow { cols } => block(1, cols)?,
            Self::BlockColumn { rows } => block(rows, 1)?,
            Self::FilterShape {
                filters: Some(filters),
            } => in_rows("filters", filters)?,
            Self::BalancedPes { pes } => in_rows("pes", pes)?,
            Self::Pattern { entries, .. } => {
                let positions = shape.kernel_positions();
                if positions <= entries as usize || positions > MOST_POSITIONS {
                    let kernel = shape.kernel;
                    return Err(StructureError::Kernel { entries, kernel });
                }
            }
            _ => {}
        }
        let (most, all) = (self.most(shape), shape.weights());
        if keep > most {
            return Err(StructureError::Density {
                kept: keep,
                most,
                all,
            });
        }
        Ok(())
    }
}
