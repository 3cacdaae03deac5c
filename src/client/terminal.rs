//! The terminal while the table is shown, and the keys that end it.

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

/// How long to wait for a key before the queue is looked at: so the screen is drawn 20 times a second at most.
const FRAME_INTERVAL: Duration = Duration::from_millis(50);
/// The ages on the screen count seconds.
const MAX_REDRAW_INTERVAL: Duration = Duration::from_secs(1);

/// Shows the leaderboard until a key or `stop` ends it, or until the queue ends. It blocks the thread.
///
/// However it ends, the terminal is as it was before; a panic's text is lost with the screen, its payload is not.
///
/// # Errors
/// When the terminal cannot be read or written.
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

/// What the user wants.
enum UserAction {
    Nothing,
    Redraw,
    Quit,
}

/// Waits a frame long for the terminal, and says what it brought.
fn poll_input() -> io::Result<UserAction> {
    let mut asked = UserAction::Nothing;
    let until = Instant::now() + FRAME_INTERVAL;
    while event::poll(until.saturating_duration_since(Instant::now()))? {
        match event::read()? {
            TerminalEvent::Key(key) if is_quit_key(key) => return Ok(UserAction::Quit),
            TerminalEvent::Resize(..) => asked = UserAction::Redraw,
            _ => {}
        }
        if Instant::now() >= until {
            break;
        }
    }
    Ok(asked)
}

fn is_quit_key(key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
        // Without its own line editing, a terminal hands Ctrl-C over as a key.
        KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

/// The terminal, taken over; dropping it gives it back.
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
        // A terminal that cannot be written any more is not there any more.
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
