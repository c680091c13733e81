//! The cookie that carries a session: its seal, its attributes, and how it is found and taken out of a request.

pub mod header;
pub mod options;
pub mod seal;
