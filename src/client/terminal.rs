//! The terminal while the table is displayed, and the keys that quit.

use std::io::{self, Stdout};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event as TerminalEvent, KeyCode, KeyEvent, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::event_queue::EventQueue;
use super::table::draw;
use super::view_state::ViewState;

/// Between two checks of the queue. Limits the display to 20 frames per second.
const FRAME_INTERVAL: Duration = Duration::from_millis(50);
/// The display contains ages in seconds.
const MAX_REDRAW_INTERVAL: Duration = Duration::from_secs(1);

/// Displays the leaderboard until a key, `stop`, or the end of the queue. Blocks the thread.
///
/// Always restores the terminal. After a panic, its message is lost with the alternate screen, but not its payload.
///
/// # Errors
/// If the terminal cannot be read or written.
pub fn show_table(address: Address, queue: &EventQueue, stop: &CancellationToken) -> io::Result<()> {
    let mut screen = AlternateScreen::enter()?;
    let mut view = ViewState::new(address);
    let mut drawn: Option<Instant> = None;
    while !stop.is_cancelled() {
        let Some(events) = queue.take(Duration::ZERO) else { break };
        let now = Instant::now();
        let is_stale = drawn.is_none_or(|drawn| now.duration_since(drawn) >= MAX_REDRAW_INTERVAL);
        if is_stale || !events.is_empty() {
            events.into_iter().for_each(|event| view.apply(event, now));
            screen.terminal.draw(|frame| draw(frame, &view, now))?;
            drawn = Some(now);
        }
        match poll_input()? {
            UserAction::Nothing => {}
            UserAction::Redraw => drawn = None,
            UserAction::Quit => break,
        }
    }
    Ok(())
}

enum UserAction {
    Nothing,
    Redraw,
    Quit,
}

/// Waits for input during one frame interval.
fn poll_input() -> io::Result<UserAction> {
    let mut action = UserAction::Nothing;
    let deadline = Instant::now() + FRAME_INTERVAL;
    while event::poll(deadline.saturating_duration_since(Instant::now()))? {
        match event::read()? {
            TerminalEvent::Key(key) if is_quit_key(key) => return Ok(UserAction::Quit),
            TerminalEvent::Resize(..) => action = UserAction::Redraw,
            _ => {}
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    Ok(action)
}

fn is_quit_key(key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
        // In raw mode, Ctrl-C is an ordinary key.
        KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

/// The terminal in raw mode on its alternate screen. Dropping it restores the terminal.
struct AlternateScreen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl AlternateScreen {
    fn enter() -> io::Result<Self> {
        let screen = Self { terminal: Terminal::new(CrosstermBackend::new(io::stdout()))? };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(screen)
    }
}

impl Drop for AlternateScreen {
    fn drop(&mut self) {
        // Errors mean that the terminal has been closed.
        let _ = self.terminal.show_cursor();
        let _ = execute!(io::stdout(), LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_control_c_quit_and_nothing_else() {
        let control = KeyModifiers::CONTROL;
        for (code, modifiers, quit) in [
            (KeyCode::Char('q'), KeyModifiers::NONE, true),
            (KeyCode::Char('Q'), KeyModifiers::SHIFT, true),
            (KeyCode::Esc, KeyModifiers::NONE, true),
            (KeyCode::Char('c'), control, true),
            (KeyCode::Char('c'), KeyModifiers::NONE, false),
            (KeyCode::Enter, KeyModifiers::NONE, false),
            (KeyCode::Up, control, false),
        ] {
            assert_eq!(is_quit_key(KeyEvent::new(code, modifiers)), quit, "{code:?}");
        }
    }
}
