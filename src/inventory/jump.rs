//! The machines through which hosts are reached.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor, value::SeqAccessDeserializer},
};

use crate::yaml::schema;

/// Jump hosts, the first one first. Written as one, as a list, or as `none`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Jump(pub Vec<String>);

impl JsonSchema for Jump {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Jump".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let hop = schema::jump_host(generator);
        json_schema!({"anyOf": [hop, {"type": "array", "items": hop}]})
    }
}

impl<'de> Deserialize<'de> for Jump {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Jump, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Jump;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a jump host or a list of them")
            }

            fn visit_str<E>(self, text: &str) -> Result<Jump, E> {
                let hops = if text == "none" { Vec::new() } else { vec![text.to_owned()] };
                Ok(Jump(hops))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Jump, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(Jump)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parse;

    fn jump(text: &str) -> Result<Jump, String> {
        let text = format!(
            "cluster: {{name: a, kubernetes: 1.20.2}}\nssh: {{jump: {text}}}\nhosts:\n  \
             a: {{address: 10.0.0.1, roles: [control-plane]}}\n"
        );
        match parse("test", &text) {
            Ok(loaded) => Ok(loaded.inventory.ssh.jump.unwrap()),
            Err(error) => Err(error.to_json()[0]["message"].as_str().unwrap().to_owned()),
        }
    }

    #[test]
    fn one_many_none() {
        let hops = |hops: &[&str]| Ok(Jump(hops.iter().map(ToString::to_string).collect()));
        assert_eq!(jump("bastion.example.lan"), hops(&["bastion.example.lan"]));
        assert_eq!(jump("admin@10.0.0.9:2222"), hops(&["admin@10.0.0.9:2222"]));
        assert_eq!(jump("[a, 'b@[fd00::1]:22']"), hops(&["a", "b@[fd00::1]:22"]));
        assert_eq!(jump("none"), hops(&[]));
        assert_eq!(jump("[]"), hops(&[]));
    }

    #[test]
    fn mistakes() {
        for text in ["''", "'a b'", "-oProxyCommand=x", "a;b", "'a,b'", "u@", "7", "{a: b}", "[a, '$(b)']"] {
            assert!(jump(text).is_err(), "{text}");
        }
    }
}
