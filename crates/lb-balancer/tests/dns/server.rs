//! A DNS server for one zone, on a UDP port of loopback, that answers what it was told last.

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

type Answer = Result<Vec<Record>, ResponseCode>;

pub(crate) struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<HashMap<(String, String), Answer>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::<Mutex<HashMap<_, _>>>::default();
        let task = tokio::spawn({
            let zone = zone.clone();
            async move {
                let mut buffer = [0; 2048];
                loop {
                    let (n, from) = socket.recv_from(&mut buffer).await.unwrap();
                    let answer = respond(&Message::from_vec(&buffer[..n]).unwrap(), &zone.lock().unwrap());
                    socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
                }
            }
        });
        Self { address, zone, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `name` has these records, in their usual notation.
    pub(crate) fn set(&self, name: &str, kind: &str, records: &[&str], ttl: u32) {
        let owner = Name::from_ascii(name).unwrap();
        let records = records.iter().map(|text| Record::from_rdata(owner.clone(), ttl, rdata(kind, text)));
        self.put(name, kind, Ok(records.collect()));
    }

    /// From now on questions for these records are answered with this code and nothing else.
    pub(crate) fn fail(&self, name: &str, kind: &str, code: ResponseCode) {
        self.put(name, kind, Err(code));
    }

    fn put(&self, name: &str, kind: &str, answer: Answer) {
        self.zone.lock().unwrap().insert((name.to_owned(), kind.to_owned()), answer);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn rdata(kind: &str, text: &str) -> RData {
    match kind {
        "A" => RData::A(A(text.parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(text.parse().unwrap())),
        "SRV" => {
            let mut parts = text.split(' ');
            let mut number = || parts.next().unwrap().parse().unwrap();
            let (priority, weight, port) = (number(), number(), number());
            RData::SRV(SRV::new(priority, weight, port, Name::from_ascii(parts.next().unwrap()).unwrap()))
        }
        other => panic!("no {other} here"),
    }
}

fn respond(question: &Message, zone: &HashMap<(String, String), Answer>) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    for query in &question.queries {
        answer.add_query(query.clone());
        let key = (query.name().to_string().to_ascii_lowercase(), query.query_type().to_string());
        match zone.get(&key) {
            Some(Ok(records)) => {
                answer.add_answers(records.iter().cloned());
            }
            Some(Err(code)) => answer.metadata.response_code = *code,
            // The name is there (the tests ask for no other), without such records.
            None => answer.metadata.response_code = ResponseCode::NoError,
        }
    }
    answer
}
