//! CSV (RFC 4180): records of cells, each with its text and whether double quotes are around it.
//!
//! More is read than the standard has: a line ends in CR LF, LF or CR, a line that begins with `#` is a comment, empty lines
//! are skipped, and spaces and tabs may stand around double quotes.

/// What may stand around double quotes.
const BLANKS: [char; 2] = [' ', '\t'];

/// What ends a line.
const LINE_ENDS: [char; 2] = ['\n', '\r'];

/// What ends a cell without double quotes.
const ENDS: [char; 3] = [',', '\n', '\r'];

/// A cell.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cell {
    /// The text: all that stands between two commas, or between the double quotes.
    pub text: String,
    /// Whether the text is in double quotes.
    pub is_quoted: bool,
}

/// A record: a line, or more if text in double quotes has some.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// Its cells, in order.
    pub cells: Result<Vec<Cell>, CsvError>,
}

/// Why a record cannot be read. The column is that of the cell, from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CsvError {
    /// A double quote is opened and not closed.
    Open {
        /// The cell.
        column: usize,
    },
    /// Text stands behind the double quote that closes a cell.
    Behind {
        /// The cell.
        column: usize,
    },
}

/// The records of a text, in order.
pub fn records(text: &str) -> Records<'_> {
    Records { rest: text, line: 1 }
}

/// Iterator over the records of a text.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a str,
    /// The line on which the rest begins.
    line: usize,
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        while !self.rest.is_empty() {
            let (line, before) = (self.line, self.rest);
            let cells = self.read_record();
            let length = before.len().saturating_sub(self.rest.len());
            let read = before.get(..length).unwrap_or(before);
            self.line = self.line.saturating_add(lines_in(read));
            if let Some(cells) = cells {
                return Some(Record { line, cells });
            }
        }
        None
    }
}

impl<'a> Records<'a> {
    /// Reads a record; none for a comment or an empty line.
    fn read_record(&mut self) -> Option<Result<Vec<Cell>, CsvError>> {
        let mut ahead = self.clone();
        let line = ahead.take_until(&LINE_ENDS);
        if line.starts_with('#') || line.trim_matches(BLANKS).is_empty() {
            ahead.take_line_end();
            *self = ahead;
            return None;
        }
        let (mut cells, mut flaw) = (Vec::new(), None);
        for column in 1.. {
            match self.read_cell(column) {
                Ok(cell) => cells.push(cell),
                // What comes behind is read for the place where the next record begins.
                Err(found) => flaw = flaw.or(Some(found)),
            }
            if !self.take(",") {
                break;
            }
        }
        self.take_line_end();
        Some(flaw.map_or(Ok(cells), Err))
    }

    fn read_cell(&mut self, column: usize) -> Result<Cell, CsvError> {
        let Some(quoted) = self.rest.trim_start_matches(BLANKS).strip_prefix('"') else {
            return Ok(Cell { text: self.take_until(&ENDS).to_owned(), is_quoted: false });
        };
        self.rest = quoted;
        let text = self.read_quoted().ok_or(CsvError::Open { column })?;
        match self.take_until(&ENDS).trim_end_matches(BLANKS) {
            "" => Ok(Cell { text, is_quoted: true }),
            _ => Err(CsvError::Behind { column }),
        }
    }

    /// The text up to the double quote that closes it, of which two stand for one in the text.
    fn read_quoted(&mut self) -> Option<String> {
        let mut text = self.take_until(&['"']).to_owned();
        while self.take("\"") {
            if !self.take("\"") {
                return Some(text);
            }
            text.push('"');
            text.push_str(self.take_until(&['"']));
        }
        None
    }

    /// What stands in front of the first of these, or all that is left.
    fn take_until(&mut self, ends: &[char]) -> &'a str {
        let (taken, rest) = match self.rest.find(ends) {
            Some(at) => self.rest.split_at_checked(at).unwrap_or((self.rest, "")),
            None => (self.rest, ""),
        };
        self.rest = rest;
        taken
    }

    /// Goes behind what the rest begins with, if that is this.
    fn take(&mut self, start: &str) -> bool {
        let behind = self.rest.strip_prefix(start);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    fn take_line_end(&mut self) {
        let _ = self.take("\r\n") || self.take("\n") || self.take("\r");
    }
}

/// How many lines end in a text.
fn lines_in(text: &str) -> usize {
    let both = text.matches("\r\n").count();
    text.matches(LINE_ENDS).count().saturating_sub(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines and cells of a text; what is quoted is shown in brackets.
    fn shown(text: &str) -> Vec<String> {
        let cell = |cell: &Cell| {
            if cell.is_quoted { format!("[{}]", cell.text) } else { cell.text.clone() }
        };
        let of_record = |record: Record| match &record.cells {
            Ok(cells) => {
                let cells: Vec<String> = cells.iter().map(cell).collect();
                format!("{} {}", record.line, cells.join("|"))
            }
            Err(flaw) => format!("{} {flaw:?}", record.line),
        };
        records(text).map(of_record).collect()
    }

    #[test]
    fn what_is_in_double_quotes_is_as_it_stands() {
        for (text, told) in [
            ("a, b ,\tc\t", "1 a| b |\tc\t"),
            ("\" a \", \"\tb\" ,c", "1 [ a ]|[\tb]|c"),
            ("\"a,b\",\"c\"\"d\",\"\"", "1 [a,b]|[c\"d]|[]"),
            ("a\"b\",c", "1 a\"b\"|c"),
            ("\u{a0}a,\"#\"", "1 \u{a0}a|[#]"),
            ("\"#a\",b", "1 [#a]|b"),
            (",,", "1 ||"),
            ("\"a\nb\r\nc\",d", "1 [a\nb\r\nc]|d"),
        ] {
            assert_eq!(shown(text), [told], "{text:?}");
        }
    }

    #[test]
    fn the_line_of_a_record_counts_all_that_stands_before_it() {
        for end in ["\n", "\r\n", "\r"] {
            let lines = ["# c", "h", "", " \t", "\"1", "2\",x", "# \"", "", "z"];
            assert_eq!(
                shown(&lines.join(end)),
                ["2 h".to_owned(), format!("5 [1{end}2]|x"), "9 z".to_owned()]
            );
        }
        assert_eq!(shown(""), [""; 0]);
        assert_eq!(shown("\n\n#"), [""; 0]);
    }

    #[test]
    fn a_flaw_has_its_column_and_stays_in_its_record() {
        assert_eq!(
            shown("a,\"b\" c,\"d\ne\"\nf,g\n"),
            ["1 Behind { column: 2 }".to_owned(), "3 f|g".into()]
        );
        assert_eq!(shown("a\nb,c,\"d\ne,f\n"), ["1 a".to_owned(), "2 Open { column: 3 }".into()]);
    }

    /// What Python's module `csv` writes, in the dialects `excel` and `unix`.
    #[test]
    fn what_another_program_wrote_is_read() {
        let excel = "\"a, b\", c ,\"say \"\"hi\"\"\",\"x\ny\",\r\n";
        assert_eq!(shown(excel), ["1 [a, b]| c |[say \"hi\"]|[x\ny]|"]);
        let unix = "\"a, b\",\" c \",\"say \"\"hi\"\"\",\"x\ny\",\"\"\n";
        assert_eq!(shown(unix), ["1 [a, b]|[ c ]|[say \"hi\"]|[x\ny]|[]"]);
    }
}
