//! The drawing of the table: what is known at a time, on a frame of any size.
//!
//! ```text
//! ● connected to http://localhost:3011
//!  #       player                 score
//!  1  ▲2   Ada                   12,345
//!  2  new  Grace                    900
//! q quits · 0.4 updates/s · last update 3 s ago
//! ```
//!
//! Colours only repeat what a sign says. Names and reasons come from strangers: nothing of them reaches the terminal but
//! what it shows.

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Span, Text};
use ratatui::widgets::{Paragraph, Row as TableRow, Table, Wrap};

use super::standings::{Movement, Row};
use super::text::harmless;
use super::watch::{Link, Watch};
use super::wording::{fit, grouped, span};

/// More of a name than any server of ours allows.
const NAME_CHARS: usize = 128;
const MOVEMENT_WIDTH: u16 = 3;
/// A name and its score are read together, so they don't drift apart on a wide screen.
const WIDEST_NAME: u16 = 40;
/// Below this width, every column counts.
const NARROW: u16 = 40;
/// From this height on, the columns have a header.
const HEADER_FROM: u16 = 6;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame, watch: &Watch, now: Instant) {
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(state(watch, now, top.width), top);
    if watch.standings.rows(now).next().is_some() {
        draw_table(frame, watch, now, middle);
    } else {
        let text = if watch.standings.is_known() { "Nobody has a score yet." } else { "No leaderboard yet." };
        frame.render_widget(Paragraph::new(text).centered().wrap(Wrap { trim: true }), middle);
    }
    frame.render_widget(fit(&pulse(watch, now), bottom.width).into_owned().dim(), bottom);
}

/// The connection's state in one line.
fn state(watch: &Watch, now: Instant, width: u16) -> Span<'static> {
    let address = &watch.address;
    let (text, style) = match &watch.link {
        Link::Connecting => (format!("○ connecting to {address}"), Style::new().fg(Color::Yellow)),
        Link::Connected => (format!("● connected to {address}"), Style::new().fg(Color::Green)),
        Link::Reconnecting { since, attempt, reason } => {
            let lost = span(now.duration_since(*since));
            let text = format!("○ reconnecting, attempt {attempt}, lost {lost} ago: {reason} · {address}");
            (text, Style::new().fg(Color::Yellow))
        }
    };
    Span::styled(fit(&harmless(&text, usize::from(u16::MAX)), width).into_owned(), style.add_modifier(Modifier::BOLD))
}

/// The last line: what to press, how lively it is, how old it is.
fn pulse(watch: &Watch, now: Instant) -> String {
    let rate = watch.standings.updates_per_second(now);
    let age = watch.standings.age(now);
    let age = age.map(|age| format!(" · last update {} ago", span(age))).unwrap_or_default();
    format!("q quits · {rate:.1} updates/s{age}")
}

fn draw_table(frame: &mut Frame, watch: &Watch, now: Instant, area: Rect) {
    let with_header = area.height >= HEADER_FROM;
    let visible = usize::from(area.height.saturating_sub(u16::from(with_header)));
    let rows: Vec<Row> = watch.standings.rows(now).take(visible).collect();
    let scores: Vec<String> = rows.iter().map(|row| grouped(&row.score.to_string())).collect();
    let columns = Columns::new(area.width, &rows, &scores);
    let lines = rows.iter().zip(&scores).map(|(row, score)| {
        let name = harmless(row.name, NAME_CHARS);
        let line = TableRow::new([
            Text::from(row.rank.to_string()).right_aligned(),
            Text::from(sign(row.movement)),
            Text::from(fit(&name, columns.name).into_owned()),
            Text::from(fit(score, columns.score).into_owned()).right_aligned(),
        ]);
        if row.rank == 1 { line.bold() } else { line }
    });
    let mut table = Table::new(lines, columns.constraints()).column_spacing(columns.spacing);
    if with_header {
        let score = Text::from("score").right_aligned();
        let header = [Text::from("#").right_aligned(), Text::default(), Text::from("player"), score];
        table = table.header(TableRow::new(header).underlined());
    }
    if watch.link != Link::Connected {
        table = table.style(Style::new().dim());
    }
    frame.render_widget(table, area);
}

/// How wide the columns are. The score is a number and must not lose digits, so the name gives way first.
struct Columns {
    spacing: u16,
    rank: u16,
    name: u16,
    score: u16,
}

impl Columns {
    fn new(width: u16, rows: &[Row], scores: &[String]) -> Self {
        let spacing = if width < NARROW { 1 } else { 2 };
        let rank = rows.last().map_or(1, |row| row.rank.to_string().len());
        let rank = u16::try_from(rank).unwrap_or(u16::MAX);
        let widest = scores.iter().map(|score| Span::raw(score).width()).max().unwrap_or_default();
        let score = u16::try_from(widest).unwrap_or(u16::MAX).max(5);
        let left = width.saturating_sub(rank.saturating_add(MOVEMENT_WIDTH + 3 * spacing));
        let score = score.min(left.saturating_sub(1).max(1));
        Self { spacing, rank, name: left.saturating_sub(score).min(WIDEST_NAME), score }
    }

    fn constraints(&self) -> [Constraint; 4] {
        [self.rank, MOVEMENT_WIDTH, self.name, self.score].map(Constraint::Length)
    }
}

fn sign(movement: Movement) -> Span<'static> {
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
    use super::super::feed::Event;
    use super::super::watch::tests::watch;
    use super::*;

    fn drawn(watch: &Watch, now: Instant, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, watch, now)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// What stands on the screen, line by line.
    fn shown(watch: &Watch, now: Instant, width: u16, height: u16) -> String {
        let buffer = drawn(watch, now, width, height);
        let lines = buffer.content.chunks(usize::from(width)).map(|cells| {
            let mut line = String::new();
            let mut cells = cells.iter().map(|cell| cell.symbol());
            while let Some(symbol) = cells.next() {
                line.push_str(symbol);
                // A wide symbol covers the cells behind it.
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

    fn busy(start: Instant) -> Watch {
        let mut watch = watch();
        watch.hear(Event::Connected, start);
        watch.hear(Event::Current(board(&["Grace", "Ada", "日本 👩‍👩‍👧"])), start);
        let board = scores(&[
            ("Ada", json!(1_234_567)),
            ("日本 👩‍👩‍👧", json!(-1000.5)),
            ("e\u{301}\u{202e}\u{1b}[2Jvil", json!(100)),
            ("Grace", json!(0)),
        ]);
        watch.hear(Event::Update(board), start + Duration::from_secs(1));
        watch
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
    fn an_outage_is_told_in_words_and_the_board_stays() {
        let start = Instant::now();
        let mut watch = busy(start);
        watch.hear(Event::Disconnected("gone".to_owned()), start + Duration::from_secs(10));
        watch.hear(Event::StillAway(2, "refused".to_owned()), start + Duration::from_secs(20));
        insta::assert_snapshot!(shown(&watch, start + Duration::from_secs(22), 80, 7), @r"
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
    fn before_the_first_score_it_says_so() {
        let start = Instant::now();
        let mut watch = watch();
        insta::assert_snapshot!(shown(&watch, start, 40, 3), @r"
    ○ connecting to http://localhost:3011
               No leaderboard yet.
    q quits · 0.0 updates/s
    ");
        watch.hear(Event::Connected, start);
        watch.hear(Event::Current(Board::default()), start);
        insta::assert_snapshot!(shown(&watch, start, 40, 3), @r"
    ● connected to http://localhost:3011
             Nobody has a score yet.
    q quits · 0.0 updates/s · last update 0…
    ");
    }

    proptest! {
        #[test]
        fn no_size_and_no_name_breaks_the_screen(
            width in 0_u16..90,
            height in 0_u16..14,
            players in prop::collection::vec((any::<String>(), any::<f64>()), 0..12),
            reason: Option<String>,
        ) {
            let now = Instant::now();
            let mut watch = watch();
            let players: Vec<_> = players.iter().map(|(name, score)| (name.as_str(), json!(score))).collect();
            let players: Vec<_> = players.into_iter().filter(|(_, score)| score.is_number()).collect();
            watch.hear(Event::Connected, now);
            watch.hear(Event::Update(scores(&players)), now);
            if let Some(reason) = reason {
                watch.hear(Event::Disconnected(reason), now);
            }
            let buffer = drawn(&watch, now, width, height);
            let hostile = buffer.content.iter().any(|cell| cell.symbol().contains(super::super::text::is_hostile));
            prop_assert!(!hostile);
        }
    }
}
