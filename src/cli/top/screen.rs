//! The terminal: taken whole, and given back however the program ends.

use super::draw;
use super::state::State;
use crate::error::{Error, Result};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::io::{self, Stdout, Write};
use std::sync::Once;

/// The terminal while it is ours. Dropped, it is as it was before.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    pub(super) fn open() -> Result<Self> {
        restore_on_panic();
        let failed = |error| Error::io("the terminal cannot be drawn on", error);
        enable_raw_mode().map_err(failed)?;
        let opened =
            enter(&mut io::stdout()).and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match opened {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(failed(error))
            }
        }
    }

    pub(super) fn draw(&mut self, state: &State) -> Result<()> {
        let drawn = self.terminal.draw(|frame| {
            let area = frame.area();
            draw::draw(state, area, frame.buffer_mut());
        });
        drawn.map(drop).map_err(|error| Error::io("the terminal cannot be drawn on", error))
    }

    /// Forgets what is drawn, so that every cell is drawn anew.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.terminal.clear().map_err(|error| Error::io("the terminal cannot be drawn on", error))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn enter(terminal: &mut impl Write) -> io::Result<()> {
    execute!(terminal, EnterAlternateScreen, Hide)
}

fn leave(terminal: &mut impl Write) -> io::Result<()> {
    execute!(terminal, LeaveAlternateScreen, Show)
}

/// Gives the terminal back. It may be gone, and then nobody misses it.
fn restore() {
    let _ = disable_raw_mode();
    let _ = leave(&mut io::stdout());
}

/// A panic's message is for the screen that people had before, or it goes away with ours.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            report(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::{enter, leave};

    #[test]
    fn what_is_taken_is_given_back() {
        let mut written = Vec::new();
        enter(&mut written).unwrap();
        assert_eq!(written, b"\x1b[?1049h\x1b[?25l");
        written.clear();
        leave(&mut written).unwrap();
        assert_eq!(written, b"\x1b[?1049l\x1b[?25h");
    }
}
