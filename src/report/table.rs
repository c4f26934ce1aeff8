//! Tables for people: no colour, right-aligned numbers, units in the headers, at most 110 columns wide.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, ContentLineStyle, LineStyle, Table, presets,
};

/// Columns of a terminal that a table may take.
const WIDTH: u16 = 110;

/// Which side the cells of a column stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table from its headers and rows.
#[must_use]
pub fn table(columns: &[(&str, Align)], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    let lines = ContentLineStyle::none();
    table.load_style(
        presets::UTF8_HORIZONTAL_ONLY
            .row_separator(LineStyle::none())
            .header_lines(lines)
            .content_lines(lines),
    );
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    table.set_header(columns.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    table.add_rows(rows);
    for (i, (_, align)) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(i) {
            match align {
                Align::Left => column.set_cell_alignment(CellAlignment::Left),
                // words may be broken to fit the width, numbers never
                Align::Right => {
                    column.set_cell_alignment(CellAlignment::Right);
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
            }
        }
    }
    table.trim_fmt()
}

/// A count with a space between groups of three digits.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Four significant digits, without an exponent where a reader needs none.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".into()
    } else if !(1e-4..1e9).contains(&size) {
        format!("{value:.3e}")
    } else {
        let before = size.log10().floor() as i32;
        format!("{value:.*}", (3 - before).max(0) as usize)
    }
}

/// A share of one as per cent with one decimal.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_the_width_and_keep_numbers_whole() {
        let columns = [
            ("layer", Align::Left),
            ("engine", Align::Left),
            ("cycles", Align::Right),
        ];
        let row = vec![
            "a-very-long-name ".repeat(6),
            "another-long-name ".repeat(6),
            count(u64::MAX),
        ];
        let text = table(&columns, [row]);
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
        assert!(text.contains("18 446 744 073 709 551 615"), "{text}");
    }

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(number(123.456), "123.5");
        assert_eq!(number(0.001_234_56), "0.001235");
        assert_eq!(number(98_765_432.1), "98765432");
        assert_eq!(number(1.5e-7), "1.500e-7");
        assert_eq!(number(0.0), "0");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(count(999), "999");
    }
}
