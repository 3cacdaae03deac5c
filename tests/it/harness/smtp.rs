//! A mail server that accepts mail, or misbehaves by a script, and records the mail.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use mail_parser::{Message, MessageParser};

use super::app::eventually;
use super::ports::listen;

/// A stage of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Greeting,
    Sender,
    Recipient,
    /// After the first line of the mail.
    MidData,
    /// After the last line.
    End,
}

/// The action at that stage, instead of the default reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Sends this reply.
    Say(&'static str),
    /// Sends no reply any more.
    Silence,
    /// Closes the connection.
    HangUp,
}

/// The deviation of one attempt; `None` accepts the mail.
pub type Turn = Option<(Moment, Act)>;

/// A mail that was received completely.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The index of its connection.
    pub connection: usize,
    pub recipients: Vec<String>,
    pub data: Vec<u8>,
}

impl Mail {
    pub fn parse(&self) -> Message<'_> {
        MessageParser::default().parse(&self.data).unwrap()
    }

    pub fn message_id(&self) -> String {
        self.parse().message_id().unwrap().to_owned()
    }
}

/// A running server, which ends with the process of the tests.
pub struct MailServer {
    pub url: String,
    state: Arc<State>,
}

type Script = dyn Fn(usize) -> Turn + Send + Sync;

struct State {
    script: Box<Script>,
    /// The extensions in its reply to EHLO.
    offers: &'static [&'static str],
    attempts: Mutex<usize>,
    connections: Mutex<usize>,
    mails: Mutex<Vec<Mail>>,
    commands: Mutex<Vec<String>>,
}

impl MailServer {
    /// A server that accepts every mail.
    pub fn taking() -> Self {
        Self::scripted(|_| None)
    }

    /// A server that deviates as the script says, which gets the number of earlier attempts.
    pub fn scripted(script: impl Fn(usize) -> Turn + Send + Sync + 'static) -> Self {
        Self::listening(SocketAddr::from(([127, 0, 0, 1], 0)), &["8BITMIME", "SMTPUTF8"], script)
    }

    /// The same, at this address, with these extensions.
    pub fn listening(
        address: SocketAddr,
        offers: &'static [&'static str],
        script: impl Fn(usize) -> Turn + Send + Sync + 'static,
    ) -> Self {
        let listener = listen(address);
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            script: Box::new(script),
            offers,
            attempts: Mutex::default(),
            connections: Mutex::default(),
            mails: Mutex::default(),
            commands: Mutex::default(),
        });
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&served);
                // A client may disconnect.
                std::thread::spawn(move || drop(Conversation::begin(&state, stream.unwrap()).hold()));
            }
        });
        Self { url, state }
    }

    /// Every mail that was received completely, whatever the reply.
    pub fn mails(&self) -> Vec<Mail> {
        self.state.mails.lock().unwrap().clone()
    }

    /// The number of attempts to send a mail.
    pub fn attempts(&self) -> usize {
        *self.state.attempts.lock().unwrap()
    }

    /// Every command, on every connection.
    pub fn commands(&self) -> Vec<String> {
        self.state.commands.lock().unwrap().clone()
    }

    /// Waits for at least `count` mails, and returns all.
    pub async fn until(&self, count: usize) -> Vec<Mail> {
        eventually(&format!("{count} mails"), || async {
            let mails = self.mails();
            (mails.len() >= count).then_some(mails)
        })
        .await
    }
}

impl State {
    /// The deviation of the next attempt.
    fn next_turn(&self) -> Turn {
        let mut attempts = self.attempts.lock().unwrap();
        *attempts += 1;
        (self.script)(*attempts - 1)
    }

    fn next_connection(&self) -> usize {
        let mut connections = self.connections.lock().unwrap();
        *connections += 1;
        *connections - 1
    }
}

/// One connection.
struct Conversation<'a> {
    state: &'a State,
    number: usize,
    reader: BufReader<TcpStream>,
    stream: TcpStream,
    turn: Turn,
    /// A second mail on the connection counts as an attempt.
    is_first: bool,
    recipients: Vec<String>,
}

impl<'a> Conversation<'a> {
    fn begin(state: &'a State, stream: TcpStream) -> Self {
        let reader = BufReader::new(stream.try_clone().unwrap());
        let (number, turn) = (state.next_connection(), state.next_turn());
        Self { state, number, reader, stream, turn, is_first: true, recipients: Vec::new() }
    }

    fn hold(mut self) -> io::Result<()> {
        self.act(Moment::Greeting, "220 mail.example ESMTP")?;
        loop {
            let line = self.line()?;
            let command = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.state.commands.lock().unwrap().push(command.clone());
            match command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "EHLO" => self.greet_back()?,
                "MAIL" => {
                    if !std::mem::take(&mut self.is_first) {
                        self.turn = self.state.next_turn();
                    }
                    self.recipients.clear();
                    self.act(Moment::Sender, "250 OK")?;
                }
                "RCPT" => {
                    self.recipients.push(command);
                    self.act(Moment::Recipient, "250 OK")?;
                }
                "DATA" => self.take_data()?,
                "QUIT" => return self.say("221 Bye"),
                _ => self.say("502 Not here")?,
            }
        }
    }

    fn greet_back(&mut self) -> io::Result<()> {
        let lines: Vec<&str> = [&["mail.example"], self.state.offers].concat();
        let last = lines.len() - 1;
        lines.iter().enumerate().try_for_each(|(at, line)| {
            let separator = if at == last { ' ' } else { '-' };
            self.say(&format!("250{separator}{line}"))
        })
    }

    fn take_data(&mut self) -> io::Result<()> {
        self.say("354 Go on")?;
        let mut data = Vec::new();
        loop {
            let line = self.line()?;
            if line == b".\r\n" {
                break;
            }
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            if matches!(self.turn, Some((Moment::MidData, _))) {
                self.act(Moment::MidData, "")?;
            }
        }
        let mail = Mail { connection: self.number, recipients: self.recipients.clone(), data };
        self.state.mails.lock().unwrap().push(mail);
        self.act(Moment::End, "250 Taken")
    }

    /// Performs the action of this stage, by default this reply.
    fn act(&mut self, moment: Moment, usual: &str) -> io::Result<()> {
        match self.turn.filter(|(at, _)| *at == moment) {
            None => self.say(usual),
            Some((_, Act::Say(answer))) => self.say(answer),
            Some((_, Act::Silence)) => loop {
                self.line()?;
            },
            Some((_, Act::HangUp)) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn say(&mut self, answer: &str) -> io::Result<()> {
        self.stream.write_all(format!("{answer}\r\n").as_bytes())
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }
}
