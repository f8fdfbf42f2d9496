//! Settings that are lists.
//!
//! Invariant: a list can be written as an array in a file, and as text in an environment variable.

use std::net::IpAddr;

use anyhow::anyhow;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

const EXPECTED: &str = "expected an array of strings, or strings separated by commas";

/// An array; or, because environment variables have no arrays, a text with items separated by commas or with a JSON
/// array.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct List(Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Array(Vec<String>),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Array(items)) => Ok(Self(items)),
            Ok(Written::Text(text)) if text.starts_with('[') => {
                let items = serde_json::from_str(&text);
                items.map(Self).map_err(|_no_array| D::Error::custom(EXPECTED))
            }
            Ok(Written::Text(text)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(Self(items.map(str::to_owned).collect()))
            }
            Err(_neither) => Err(D::Error::custom(EXPECTED)),
        }
    }
}

impl List {
    #[cfg(test)]
    pub(super) fn new(items: Vec<String>) -> Self {
        Self(items)
    }

    pub(crate) fn items(&self) -> &[String] {
        &self.0
    }
}

/// The networks in a list of addresses and networks.
///
/// # Errors
/// An item is neither; the message names `key`.
pub(super) fn networks(list: &List, key: &str) -> anyhow::Result<Vec<IpNet>> {
    let network = |item: &String| match item.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_no_address) => item.parse::<IpNet>(),
    };
    list.items().iter().map(network).collect::<Result<_, _>>().map_err(|_neither| {
        anyhow!("{key} must have addresses and networks, such as \"10.0.0.1\" and \"10.0.0.0/8\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_read() {
        let read = |item: &str| networks(&List(vec![item.to_owned()]), "key");
        assert_eq!(read("10.0.0.1").expect("address")[0].to_string(), "10.0.0.1/32");
        assert_eq!(read("2001:db8::/32").expect("network")[0].to_string(), "2001:db8::/32");
        assert!(read("localhost").is_err_and(|error| error.to_string().contains("key must")));
    }
}
