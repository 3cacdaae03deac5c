//! Rendering of the table on a frame of any size.
//!
//! ```text
//! ● connected to http://localhost:3011
//!  #       player                 score
//!  1  ▲2   Ada                   12,345
//!  2  new  Grace                    900
//! q quits · 0.4 updates/s · last update 3 s ago
//! ```
//!
//! Colours only repeat what the labels say. Names and reasons are untrusted and are sanitized.

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Span, Text};
use ratatui::widgets::{Paragraph, Row as TableRow, Table, Wrap};

use super::format::{format_duration, group_thousands, truncate};
use super::sanitize::sanitized;
use super::standings::{Movement, Row};
use super::view_state::{ConnectionStatus, ViewState};

/// Longer than the longest name that the game server accepts.
const MAX_NAME_CHARS: usize = 128;
const MOVEMENT_WIDTH: u16 = 3;
/// Keeps the score near the name on a wide screen.
const MAX_NAME_WIDTH: u16 = 40;
/// Below this width, the columns have less spacing.
const NARROW_WIDTH: u16 = 40;
const MIN_HEIGHT_FOR_HEADER: u16 = 6;

pub(super) fn draw(frame: &mut Frame, view: &ViewState, now: Instant) {
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(status_line(view, now, top.width), top);
    if view.standings.rows(now).next().is_some() {
        draw_table(frame, view, now, middle);
    } else {
        let text = if view.standings.is_known() { "Nobody has a score yet." } else { "No leaderboard yet." };
        frame.render_widget(Paragraph::new(text).centered().wrap(Wrap { trim: true }), middle);
    }
    frame.render_widget(truncate(&footer(view, now), bottom.width).into_owned().dim(), bottom);
}

/// The first line: the state of the connection.
fn status_line(view: &ViewState, now: Instant, width: u16) -> Span<'static> {
    let address = &view.address;
    let (text, style) = match &view.connection {
        ConnectionStatus::Connecting => (format!("○ connecting to {address}"), Style::new().fg(Color::Yellow)),
        ConnectionStatus::Connected => (format!("● connected to {address}"), Style::new().fg(Color::Green)),
        ConnectionStatus::Reconnecting { since, attempt, reason } => {
            let lost = format_duration(now.duration_since(*since));
            let text = format!("○ reconnecting, attempt {attempt}, lost {lost} ago: {reason} · {address}");
            (text, Style::new().fg(Color::Yellow))
        }
    };
    Span::styled(
        truncate(&sanitized(&text, usize::from(u16::MAX)), width).into_owned(),
        style.add_modifier(Modifier::BOLD),
    )
}

/// The last line: the quit key, the rate of updates, and the age of the last one.
fn footer(view: &ViewState, now: Instant) -> String {
    let rate = view.standings.updates_per_second(now);
    let age = view.standings.age(now);
    let age = age.map(|age| format!(" · last update {} ago", format_duration(age))).unwrap_or_default();
    format!("q quits · {rate:.1} updates/s{age}")
}

fn draw_table(frame: &mut Frame, view: &ViewState, now: Instant, area: Rect) {
    let with_header = area.height >= MIN_HEIGHT_FOR_HEADER;
    let visible = usize::from(area.height.saturating_sub(u16::from(with_header)));
    let rows: Vec<Row> = view.standings.rows(now).take(visible).collect();
    let scores: Vec<String> = rows.iter().map(|row| group_thousands(&row.score.to_string())).collect();
    let columns = Columns::new(area.width, &rows, &scores);
    let lines = rows.iter().zip(&scores).map(|(row, score)| {
        let name = sanitized(row.name, MAX_NAME_CHARS);
        let line = TableRow::new([
            Text::from(row.rank.to_string()).right_aligned(),
            Text::from(movement_label(row.movement)),
            Text::from(truncate(&name, columns.name).into_owned()),
            Text::from(truncate(score, columns.score).into_owned()).right_aligned(),
        ]);
        if row.rank == 1 { line.bold() } else { line }
    });
    let mut table = Table::new(lines, columns.constraints()).column_spacing(columns.spacing);
    if with_header {
        let score = Text::from("score").right_aligned();
        let header = [Text::from("#").right_aligned(), Text::default(), Text::from("player"), score];
        table = table.header(TableRow::new(header).underlined());
    }
    if view.connection != ConnectionStatus::Connected {
        table = table.style(Style::new().dim());
    }
    frame.render_widget(table, area);
}

/// The widths of the columns. The name is truncated before the score, which must not lose digits.
struct Columns {
    spacing: u16,
    rank: u16,
    name: u16,
    score: u16,
}

impl Columns {
    fn new(width: u16, rows: &[Row], scores: &[String]) -> Self {
        let spacing = if width < NARROW_WIDTH { 1 } else { 2 };
        let rank = rows.last().map_or(1, |row| row.rank.to_string().len());
        let rank = u16::try_from(rank).unwrap_or(u16::MAX);
        let widest = scores.iter().map(|score| Span::raw(score).width()).max().unwrap_or_default();
        let score = u16::try_from(widest).unwrap_or(u16::MAX).max(5);
        let left = width.saturating_sub(rank.saturating_add(MOVEMENT_WIDTH + 3 * spacing));
        let score = score.min(left.saturating_sub(1).max(1));
        Self { spacing, rank, name: left.saturating_sub(score).min(MAX_NAME_WIDTH), score }
    }

    fn constraints(&self) -> [Constraint; 4] {
        [self.rank, MOVEMENT_WIDTH, self.name, self.score].map(Constraint::Length)
    }
}

fn movement_label(movement: Movement) -> Span<'static> {
    match movement {
        Movement::Up(places) => Span::from(format!("▲{places}")).green(),
        Movement::Down(places) => Span::from(format!("▼{places}")).red(),
        Movement::Still => Span::from("—").dim(),
        Movement::New => Span::from("new").cyan(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;
    use serde_json::json;

    use super::super::board::Board;
    use super::super::board::tests::board;
    use super::super::event_queue::Event;
    use super::super::view_state::tests::view;
    use super::*;

    fn drawn(view: &ViewState, now: Instant, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view, now)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The content of the screen as text.
    fn shown(view: &ViewState, now: Instant, width: u16, height: u16) -> String {
        let buffer = drawn(view, now, width, height);
        let lines = buffer.content.chunks(usize::from(width)).map(|cells| {
            let mut line = String::new();
            let mut cells = cells.iter().map(|cell| cell.symbol());
            while let Some(symbol) = cells.next() {
                line.push_str(symbol);
                // A wide symbol covers the next cell.
                cells.by_ref().take(Span::raw(symbol).width().saturating_sub(1)).for_each(drop);
            }
            line.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn scores(scores: &[(&str, serde_json::Value)]) -> Board {
        let entries: Vec<_> = scores.iter().map(|(name, score)| json!({ "username": name, "score": score })).collect();
        Board::from_json(&json!(entries)).unwrap()
    }

    fn busy(start: Instant) -> ViewState {
        let mut view = view();
        view.apply(Event::Connected, start);
        view.apply(Event::Current(board(&["Grace", "Ada", "日本 👩‍👩‍👧"])), start);
        let board = scores(&[
            ("Ada", json!(1_234_567)),
            ("日本 👩‍👩‍👧", json!(-1000.5)),
            ("e\u{301}\u{202e}\u{1b}[2Jvil", json!(100)),
            ("Grace", json!(0)),
        ]);
        view.apply(Event::Update(board), start + Duration::from_secs(1));
        view
    }

    #[test]
    fn the_table_shows_ranks_movements_names_and_scores() {
        let start = Instant::now();
        insta::assert_snapshot!(shown(&busy(start), start + Duration::from_secs(3), 48, 9), @r"
    ● connected to http://localhost:3011
    #       player                             score
    1  ▲1   Ada                            1,234,567
    2  ▲1   日本 👩‍👩‍👧                         -1,000.5
    3  new  é��[2Jvil                            100
    4  ▼3   Grace                                  0


    q quits · 0.2 updates/s · last update 2 s ago
    ");
    }

    #[test]
    fn an_outage_is_displayed_with_the_last_board() {
        let start = Instant::now();
        let mut view = busy(start);
        view.apply(Event::Disconnected("gone".to_owned()), start + Duration::from_secs(10));
        view.apply(Event::ReconnectFailed(2, "refused".to_owned()), start + Duration::from_secs(20));
        insta::assert_snapshot!(shown(&view, start + Duration::from_secs(22), 80, 7), @r"
    ○ reconnecting, attempt 3, lost 12 s ago: refused · http://localhost:3011
    1  —    Ada                                       1,234,567
    2  —    日本 👩‍👩‍👧                                    -1,000.5
    3  —    é��[2Jvil                                       100
    4  —    Grace                                             0

    q quits · 0.0 updates/s · last update 21 s ago
    ");
    }

    #[test]
    fn a_screen_of_20_columns_and_3_rows_shows_the_leader() {
        let start = Instant::now();
        insta::assert_snapshot!(shown(&busy(start), start + Duration::from_secs(3), 20, 3), @r"
    ● connected to http…
    1 ▲1  Ada  1,234,567
    q quits · 0.2 updat…
    ");
    }

    #[test]
    fn an_empty_board_has_a_message() {
        let start = Instant::now();
        let mut view = view();
        insta::assert_snapshot!(shown(&view, start, 40, 3), @r"
    ○ connecting to http://localhost:3011
               No leaderboard yet.
    q quits · 0.0 updates/s
    ");
        view.apply(Event::Connected, start);
        view.apply(Event::Current(Board::default()), start);
        insta::assert_snapshot!(shown(&view, start, 40, 3), @r"
    ● connected to http://localhost:3011
             Nobody has a score yet.
    q quits · 0.0 updates/s · last update 0…
    ");
    }

    proptest! {
        #[test]
        fn any_size_and_any_name_is_rendered(
            width in 0_u16..90,
            height in 0_u16..14,
            players in prop::collection::vec((any::<String>(), any::<f64>()), 0..12),
            reason: Option<String>,
        ) {
            let now = Instant::now();
            let mut view = view();
            let players: Vec<_> = players.iter().map(|(name, score)| (name.as_str(), json!(score))).collect();
            let players: Vec<_> = players.into_iter().filter(|(_, score)| score.is_number()).collect();
            view.apply(Event::Connected, now);
            view.apply(Event::Update(scores(&players)), now);
            if let Some(reason) = reason {
                view.apply(Event::Disconnected(reason), now);
            }
            let buffer = drawn(&view, now, width, height);
            let is_unsafe = buffer.content.iter().any(|cell| cell.symbol().contains(super::super::sanitize::is_unsafe));
            prop_assert!(!is_unsafe);
        }
    }
}
