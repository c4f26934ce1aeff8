//! `.smtx`, the form of the Deep Learning Matrix Collection (Gale et al., SC 2020): three lines of text, `rows,
//! columns, non-zeros`, then rows + 1 row offsets, then the column of every non-zero.

use super::MaskFileError;
use crate::compression::Mask;
use crate::compression::pack::positions;

/// The mask of a file's text; `file` is its name for errors.
///
/// # Errors
/// With the line and the cure, when the text is anything but such a matrix: numbers missing or too many, offsets that
/// descend, columns outside the matrix or twice in a row.
pub fn parse(file: &str, text: &str) -> Result<Mask, MaskFileError> {
    let wrong = |line: usize, message: String| MaskFileError::Smtx {
        file: file.into(),
        line,
        message,
    };
    let mut lines = text.lines();
    let mut line = |number: usize, what: &str| {
        lines.next().ok_or_else(|| {
            wrong(
                number,
                format!("the line of {what} is missing: a file has a line of sizes, of row offsets, and of column indices"),
            )
        })
    };
    let sizes = numbers(line(1, "sizes")?).map_err(|word| wrong(1, bad_number(&word)))?;
    let &[rows, cols, non_zeros] = sizes.as_slice() else {
        let message = format!("{} numbers; write three, `rows, columns, non-zeros`", sizes.len());
        return Err(wrong(1, message));
    };
    if rows == 0 || cols == 0 || positions(rows, cols).is_none_or(|n| non_zeros > n) {
        let message = format!(
            "{non_zeros} non-zeros in {rows} x {cols}: a matrix has 1 to 2^31 - 1 positions and no more non-zeros than positions; correct the sizes"
        );
        return Err(wrong(1, message));
    }
    let offsets = numbers(line(2, "row offsets")?).map_err(|word| wrong(2, bad_number(&word)))?;
    if offsets.len() != rows + 1 {
        let message = format!("{} row offsets for {rows} rows; write rows + 1", offsets.len());
        return Err(wrong(2, message));
    }
    if offsets[0] != 0 || offsets[rows] != non_zeros || offsets.windows(2).any(|w| w[0] > w[1]) {
        let message = format!("row offsets must ascend from 0 to the number of non-zeros, {non_zeros}");
        return Err(wrong(2, message));
    }
    // a matrix without non-zeros may leave the last line out
    let columns = if non_zeros == 0 {
        lines.next().unwrap_or("")
    } else {
        line(3, "column indices")?
    };
    let columns = numbers(columns).map_err(|word| wrong(3, bad_number(&word)))?;
    if columns.len() != non_zeros {
        let message = format!(
            "{} column indices for {non_zeros} non-zeros: the file is cut off, or line 1 is wrong",
            columns.len()
        );
        return Err(wrong(3, message));
    }
    let mut mask = Mask::empty(rows, cols);
    for row in 0..rows {
        for &col in &columns[offsets[row]..offsets[row + 1]] {
            if col >= cols {
                let message = format!("row {row} has column {col}; columns are 0 to {}", cols - 1);
                return Err(wrong(3, message));
            }
            if mask.get(row * cols + col) {
                return Err(wrong(3, format!("row {row} has column {col} twice")));
            }
            mask.set(row * cols + col, true);
        }
    }
    if lines.any(|rest| !rest.trim().is_empty()) {
        return Err(wrong(4, "a line too many: a file has three".into()));
    }
    Ok(mask)
}

/// The whole numbers of a line, between commas or blanks; or the first word that is none.
fn numbers(line: &str) -> Result<Vec<usize>, String> {
    line.split([',', ' ', '\t'])
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().map_err(|_| word.chars().take(20).collect()))
        .collect()
}

fn bad_number(word: &str) -> String {
    format!("`{word}` is no whole number; write indices from 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_by_hand() {
        let mask = parse("a.smtx", "2, 4, 3\n0 1 3\n2 0 3\n").expect("a matrix");
        assert_eq!((mask.rows(), mask.cols()), (2, 4));
        assert_eq!(mask.ones().collect::<Vec<_>>(), [2, 4, 7]);
        assert_eq!(parse("a.smtx", "2, 4, 0\n0 0 0\n").expect("empty").count(), 0);
    }

    #[test]
    fn faults_name_their_line() {
        for (text, line, word) in [
            ("", 1, "missing"),
            ("2, 4\n0 1 3\n2 0 3", 1, "three"),
            ("2, x, 3\n0 1 3\n2 0 3", 1, "`x`"),
            ("2, 4, 9\n0 1 3\n2 0 3", 1, "no more non-zeros"),
            ("99999999999, 99999999999, 9\n0\n0", 1, "2^31"),
            ("18446744073709551615, 0, 0\n0\n", 1, "positions"),
            ("2, 4, 3\n0 1\n2 0 3", 2, "rows + 1"),
            ("2, 4, 3\n0 4 3\n2 0 3", 2, "ascend"),
            ("3, 4, 3\n0 2 1 3\n2 0 3", 2, "ascend"),
            ("2, 4, 3\n0 -1 3\n2 0 3", 2, "`-1`"),
            ("2, 4, 3\n0 1 3", 3, "missing"),
            ("2, 4, 3\n0 1 3\n2 0", 3, "cut off"),
            ("2, 4, 3\n0 1 3\n2 0 4", 3, "0 to 3"),
            ("2, 4, 3\n0 1 3\n2 3 3", 3, "twice"),
            ("2, 4, 3\n0 1 3\n2 -1 3", 3, "`-1`"),
            ("2, 4, 3\n0 1 3\n2 0 3\n1 2", 4, "three"),
        ] {
            let error = parse("dir/a.smtx", text).expect_err(text).to_string();
            assert!(
                error.starts_with(&format!("`dir/a.smtx`, line {line}: ")) && error.contains(word),
                "{error}"
            );
        }
    }
}
