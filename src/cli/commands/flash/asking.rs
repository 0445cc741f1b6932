//! Asks before a disk is written to: at standard input, or at the terminal if the image comes through a pipe.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Write};

use remaster::error::{Error, Result};

use crate::cli::{printer, prompt};

/// Where answers come from.
#[derive(Debug)]
pub(crate) enum Asking {
    /// Standard input.
    Input,
    /// The controlling terminal, as standard input is the image (tty(4)).
    Terminal(File),
    /// Nobody is there.
    Nobody,
}

impl Asking {
    /// Who can be asked. With `is_image`, standard input is the image.
    pub(super) fn find(is_image: bool) -> Self {
        if is_image {
            let terminal = File::options().read(true).write(true).open("/dev/tty");
            return terminal.map_or(Self::Nobody, Self::Terminal);
        }
        let is_there = io::stdin().is_terminal() && io::stderr().is_terminal();
        if is_there { Self::Input } else { Self::Nobody }
    }

    /// Whether nobody can be asked.
    pub(super) fn is_nobody(&self) -> bool {
        matches!(self, Self::Nobody)
    }

    /// Asks, and gives the line that is answered.
    pub(super) fn ask(&self, question: &str) -> Result<String> {
        let answer = match self {
            Self::Input => {
                printer::ask(question)?;
                prompt::line(io::stdin().lock())
            }
            Self::Terminal(terminal) => {
                let mut terminal = terminal;
                let text = printer::visible(question);
                terminal.write_all(text.as_bytes()).map_err(Error::io("ask on the terminal"))?;
                prompt::line(BufReader::new(terminal))
            }
            Self::Nobody => Ok(String::new()),
        };
        answer.map_err(Error::io("read the answer"))
    }
}
