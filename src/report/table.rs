//! Aligned columns for standard output: no colour, no lines, nothing that `awk` would have to remove.

use std::fmt;

use console::measure_text_width;

const GAP: &str = "   ";

/// A heading and rows of as many cells.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows yet.
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned).into()] }
    }

    /// Adds a row; an empty cell is shown as `-`, and line breaks in one as spaces.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cell = |text: String| match text.split_whitespace().collect::<Vec<_>>().join(" ") {
            text if text.is_empty() => "-".to_owned(),
            text => text,
        };
        self.rows.push(cells.map(cell).into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - measure_text_width(cell)));
                line.push_str(GAP);
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["NAME", "WHY"]);
        table.row(["a".into(), "two\nlines".into()]);
        table.row(["größer".into(), String::new()]);
        assert_eq!(table.to_string(), "NAME     WHY\na        two lines\ngrößer   -\n");
    }
}
