//! Plain tables, and text that is fit for a terminal.

pub(super) use crate::manifest::problem::printable;
use comfy_table::{ContentArrangement, Table, presets};

/// A table without lines, as wide as it must be; cells are made printable.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { printable(cell) }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// The first line of a text.
pub(super) fn first_line(text: &str) -> String {
    printable(text.lines().next().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_steers_the_terminal() {
        let shown = table(
            ["A", "BB"],
            [["x\u{1b}[31m".to_owned(), String::new()], ["yyyyyyyy".to_owned(), "z".to_owned()]],
        );
        assert_eq!(shown, "A         BB\nx [31m    -\nyyyyyyyy  z\n");
    }
}
