//! One question to an agent and its answer.

use crate::check::CheckError;
use crate::check::connect::{Connection, connect};
use lb_types::agent::AGENT_REPORT_BYTES_MAX;
use lb_types::{Address, AgentReport, AgentReportError};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why an agent's report does not count.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Connect(CheckError),
    #[error("the connection to the agent broke: {0}")]
    Broken(io::Error),
    #[error("the agent closed the connection without a word")]
    Silent,
    #[error("the agent's report has no line's end within {AGENT_REPORT_BYTES_MAX} bytes")]
    Endless,
    #[error("{0}")]
    Malformed(AgentReportError),
}

/// Asks once; the time limit is the caller's.
pub(super) async fn ask(address: &Address, send: &str) -> Result<AgentReport, AskError> {
    match connect(address).await.map_err(AskError::Connect)? {
        Connection::Tcp(stream) => talk(stream, send).await,
        #[cfg(unix)]
        Connection::Unix(stream) => talk(stream, send).await,
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, send: &str) -> Result<AgentReport, AskError> {
    stream.write_all(send.as_bytes()).await.map_err(AskError::Broken)?;
    // One byte more than a report may have, so that a longer one is noticed.
    let mut buffer = [0; AGENT_REPORT_BYTES_MAX + 1];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.map_err(AskError::Broken)?;
        filled += read;
        // Nothing more: the agent has closed, or the buffer is full.
        if read == 0 || buffer[filled - read..filled].contains(&b'\n') {
            return report(&buffer[..filled]);
        }
    }
}

/// The report in what was read. A remark may be cut at the bound; words may not, lest half of one be taken for another.
fn report(bytes: &[u8]) -> Result<AgentReport, AskError> {
    if bytes.is_empty() {
        return Err(AskError::Silent);
    }
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    if line.len() > AGENT_REPORT_BYTES_MAX && !line.contains(&b'#') {
        return Err(AskError::Endless);
    }
    // What is not UTF-8 may stand in a remark; elsewhere it makes no word.
    String::from_utf8_lossy(line).parse().map_err(AskError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_report_and_nothing_else_is() {
        let weight = |percent| AgentReport { weight_percent: Some(percent), ..AgentReport::default() };
        assert_eq!(report(b"75%\ndrain").unwrap(), weight(75));
        assert_eq!(report(b"75%").unwrap(), weight(75), "closed without a line's end");
        assert_eq!(report(b"\n").unwrap(), AgentReport::default());
        assert_eq!(report(b"75% # \xe9t\xe9\r\n").unwrap(), weight(75));
        let mut remark = b"75% # ".to_vec();
        remark.resize(AGENT_REPORT_BYTES_MAX + 1, b'x');
        assert_eq!(report(&remark).unwrap(), weight(75));

        let mut cut = b"maxconn:1".to_vec();
        cut.resize(AGENT_REPORT_BYTES_MAX + 1, b'0');
        assert!(matches!(report(&cut), Err(AskError::Endless)));
        assert!(matches!(report(b""), Err(AskError::Silent)));
        for bad in [&b"\xff\n"[..], b"HTTP/1.1 400 Bad Request\r\n"] {
            assert!(matches!(report(bad), Err(AskError::Malformed(_))));
        }
    }
}
