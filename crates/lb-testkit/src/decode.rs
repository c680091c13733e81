//! A body's bytes out of the connection's bytes, as they come.

use crate::message::Framing;

/// Takes a connection's bytes until the body has ended.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// What came so far.
    pub body: Vec<u8>,
    /// Trailer lines, as they were written.
    pub trailers: Vec<String>,
    /// The size of each chunk, where the body is chunked.
    pub chunks: Vec<usize>,
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    Size,
    Data(usize),
    DataEnd,
    Trailer,
    Done,
}

impl BodyDecoder {
    /// At the start of a body.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, body: Vec::new(), trailers: Vec::new(), chunks: Vec::new(), line: Vec::new() }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The connection has ended: whether the body may end so.
    pub fn may_end_here(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// Takes bytes and returns how many of them belonged to the body; fewer than all only when it has ended.
    ///
    /// # Errors
    /// When a chunk is malformed.
    pub fn push(&mut self, mut input: &[u8]) -> Result<usize, String> {
        let before = input.len();
        while !input.is_empty() && self.state != State::Done {
            match self.state {
                State::Length(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    self.body.extend_from_slice(&input[..n]);
                    input = &input[n..];
                    let left = left - n as u64;
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                }
                State::UntilClose => {
                    self.body.extend_from_slice(input);
                    input = &[];
                }
                State::Data(left) => {
                    let n = left.min(input.len());
                    self.body.extend_from_slice(&input[..n]);
                    input = &input[n..];
                    self.state = if left == n { State::DataEnd } else { State::Data(left - n) };
                }
                State::Size | State::DataEnd | State::Trailer => {
                    let end = input.iter().position(|&b| b == b'\n').map_or(input.len(), |at| at + 1);
                    self.line.extend_from_slice(&input[..end]);
                    input = &input[end..];
                    if self.line.ends_with(b"\n") {
                        self.line_end()?;
                    }
                }
                State::Done => {}
            }
        }
        Ok(before - input.len())
    }

    fn line_end(&mut self) -> Result<(), String> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r\n").ok_or_else(|| format!("bare LF in {line:?}"))?;
        let text = std::str::from_utf8(line).map_err(|e| e.to_string())?;
        self.state = match self.state {
            State::DataEnd if line.is_empty() => State::Size,
            State::DataEnd => return Err(format!("{text:?} after a chunk")),
            State::Size => {
                let size = text.split(';').next().unwrap_or_default();
                let size =
                    usize::from_str_radix(size, 16).map_err(|e| format!("chunk size {text:?}: {e}"))?;
                if size > 0 {
                    self.chunks.push(size);
                    State::Data(size)
                } else {
                    State::Trailer
                }
            }
            State::Trailer if line.is_empty() => State::Done,
            State::Trailer => {
                self.trailers.push(text.to_owned());
                State::Trailer
            }
            other => other,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_ends_at_its_trailers_however_it_is_cut() {
        let wire = b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nSum: 1\r\n\r\nGET";
        for cut in 0..wire.len() {
            let mut decoder = BodyDecoder::new(Framing::Chunked);
            let mut taken = decoder.push(&wire[..cut]).unwrap();
            taken += decoder.push(&wire[cut.min(taken)..]).unwrap();
            assert!(decoder.is_done(), "cut at {cut}");
            assert_eq!((taken, decoder.body.as_slice()), (wire.len() - 3, &b"hello!"[..]));
            assert_eq!((decoder.trailers, decoder.chunks), (vec!["Sum: 1".to_owned()], vec![5, 1]));
        }
        assert!(BodyDecoder::new(Framing::Chunked).push(b"x\r\n").is_err());
        assert!(BodyDecoder::new(Framing::Chunked).push(b"1\r\naX\r\n").is_err());
        assert!(BodyDecoder::new(Framing::Chunked).push(b"1\na").is_err());
    }

    #[test]
    fn a_length_is_taken_exactly() {
        let mut decoder = BodyDecoder::new(Framing::Length(3));
        assert_eq!(decoder.push(b"ab"), Ok(2));
        assert!(!decoder.may_end_here());
        assert_eq!(decoder.push(b"cd"), Ok(1));
        assert!(decoder.is_done() && BodyDecoder::new(Framing::Length(0)).is_done());
    }
}
