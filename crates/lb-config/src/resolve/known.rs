//! What the rest of the file needs to know of its top: where secrets come from, and which stores there are.

use crate::config::Storage;
use crate::node::shorten;
use crate::reader::Field;
use crate::{Secrets, schema};

pub(super) struct Known<'a> {
    pub(super) secrets: &'a Secrets<'a>,
    /// The names of the stores, right or wrong.
    pub(super) stores: Vec<&'a str>,
}

impl Known<'_> {
    /// `memory`, or a store.
    pub(super) fn storage(&self, field: &Field<'_>) -> Option<Storage> {
        let name = field.text()?;
        if name == "memory" {
            return Some(Storage::Memory);
        }
        if self.stores.contains(&name) {
            return Some(Storage::Store(name.to_owned()));
        }
        let near = schema::nearest(name, self.stores.iter().copied().chain(["memory"]));
        let help = match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("add [stores.{}] with type = \"redis\", or use \"memory\"", shorten(name)),
        };
        let message = format!("`{}`: there is no store \"{}\" under `stores`", field.name(), shorten(name));
        field.error(message).help(help);
        None
    }
}
