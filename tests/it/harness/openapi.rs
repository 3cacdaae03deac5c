//! Checks responses against the OpenAPI description of a server.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Map, Value, json};

use super::app::App;

/// The description of a server, and the statuses of each operation that were seen.
pub struct Description {
    url: String,
    whole: Value,
    seen: BTreeSet<(String, u16)>,
}

impl Description {
    /// Fetches the description of a server.
    pub async fn of(app: &App, url: &str) -> Self {
        let (status, whole) = app.get(url, "/openapi.json").await;
        assert_eq!((status, &whole["openapi"]), (200, &json!("3.1.0")));
        Self { url: url.to_owned(), whole, seen: BTreeSet::new() }
    }

    /// Asserts that every reference leads to a component.
    pub fn assert_references_resolve(&self) {
        let mut parts = vec![&self.whole];
        while let Some(part) = parts.pop() {
            self.resolve(part);
            match part {
                Value::Object(members) => parts.extend(members.values()),
                Value::Array(items) => parts.extend(items),
                _ => {}
            }
        }
    }

    /// The whole description, without the version of the program.
    pub fn unversioned(&self) -> Value {
        let mut description = self.whole.clone();
        description["info"]["version"] = json!("[version]");
        description
    }

    fn resolve<'a>(&'a self, part: &'a Value) -> &'a Value {
        match part["$ref"].as_str() {
            Some(reference) => {
                self.whole.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} leads nowhere"))
            }
            None => part,
        }
    }

    /// Every operation, by method and path.
    pub fn operations(&self) -> BTreeMap<String, &Value> {
        let mut operations = BTreeMap::new();
        for (path, methods) in self.whole["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                operations.insert(format!("{method} {path}"), operation);
            }
        }
        operations
    }

    /// Method and URL of an operation, with the examples of its path parameters.
    pub fn example(&self, name: &str) -> (Method, String) {
        let (method, path) = name.split_once(' ').unwrap();
        let mut path = path.to_owned();
        for parameter in self.operations()[name]["parameters"].as_array().into_iter().flatten() {
            let parameter = self.resolve(parameter);
            if parameter["in"] == "path" {
                let example = &parameter["example"];
                let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                path = path.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &text);
            }
        }
        assert!(!path.contains('{'), "{name} has an example for every part of its path");
        (method.to_uppercase().parse().unwrap(), format!("{}{path}", self.url))
    }

    /// Sends a request to an operation, and checks the response.
    pub async fn expect(&mut self, name: &str, request: RequestBuilder, status: u16) {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{name}");
        self.check(name, response).await;
    }

    /// Checks the status, headers, content type and schema of a response.
    pub async fn check(&mut self, name: &str, response: Response) {
        let status = response.status().as_u16();
        let answers = &self.operations()[name]["responses"];
        let answer = self.resolve(&answers[status.to_string()]);
        assert!(answer.is_object(), "{name} answers {status}, which is not described");
        for header in answer["headers"].as_object().into_iter().flat_map(Map::keys) {
            assert!(response.headers().contains_key(header), "{name} answers {status} without {header}");
        }
        if let Some(content) = answer["content"].as_object() {
            let content_type = response.headers()["content-type"].to_str().unwrap();
            let content_type = content_type.split(';').next().unwrap().to_owned();
            let described = content.get(&content_type).unwrap_or_else(|| panic!("{name} {status} is {content_type}"));
            if content_type.ends_with("json") {
                let body: Value = response.json().await.unwrap();
                let wrong = self.misfit(&body, &described["schema"]);
                assert_eq!(wrong, None, "{name} {status}: {body}");
            }
        }
        self.seen.insert((name.to_owned(), status));
    }

    /// The violation of a schema; supports exactly the keywords that the descriptions use.
    fn misfit(&self, value: &Value, schema: &Value) -> Option<String> {
        let schema = self.resolve(schema);
        if let Some(parts) = schema["allOf"].as_array() {
            // One part has members of its own, the other one describes the rest.
            let (own, other) = match parts[0]["properties"].is_object() {
                true => (&parts[0], &parts[1]),
                false => (&parts[1], &parts[0]),
            };
            let (members, rest) = self.split(value, own);
            return self.misfit(&members, own).or_else(|| self.misfit(&rest, other));
        }
        if let Some(forms) = schema["oneOf"].as_array() {
            let misfits: Vec<_> = forms.iter().filter_map(|form| self.misfit(value, form)).collect();
            return (misfits.len() + 1 != forms.len()).then(|| format!("{value} is not one of them: {misfits:?}"));
        }
        if let Some(values) = schema["enum"].as_array() {
            return (!values.contains(value)).then(|| format!("{value} is not one of {values:?}"));
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::Null => return None,
            Value::Array(types) => types.iter().map(|name| name.as_str().unwrap()).collect(),
            name => vec![name.as_str().unwrap()],
        };
        let misfits: Vec<_> = types.iter().filter_map(|name| self.type_misfit(value, schema, name)).collect();
        (misfits.len() == types.len()).then(|| misfits.join("; "))
    }

    fn type_misfit(&self, value: &Value, schema: &Value, name: &str) -> Option<String> {
        let is_right = match name {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "integer" => value.as_i64().is_some_and(|number| {
                (schema["minimum"].as_i64().unwrap_or(0)..=schema["maximum"].as_i64().unwrap_or(i64::MAX))
                    .contains(&number)
            }),
            "number" => value.is_number(),
            "array" => {
                let Some(items) = value.as_array() else { return Some(format!("{value} is not an array")) };
                return items.iter().find_map(|item| self.misfit(item, &schema["items"]));
            }
            "object" => return self.object_misfit(value, schema),
            other => panic!("the test does not know the type {other}"),
        };
        (!is_right).then(|| format!("{value} is not {schema}"))
    }

    fn object_misfit(&self, value: &Value, schema: &Value) -> Option<String> {
        let Some(object) = value.as_object() else { return Some(format!("{value} is not an object")) };
        let mut required = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
        if let Some(name) = required.find(|name| !object.contains_key(*name)) {
            return Some(format!("{value} has no {name}"));
        }
        object.iter().find_map(|(name, member)| match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) => Some(format!("{value} has {name}, which is not described")),
            (Value::Null, Value::Bool(true)) => None,
            (Value::Null, others) => self.misfit(member, others),
            (described, _) => self.misfit(member, described),
        })
    }

    /// The members that this schema describes, and the others.
    fn split(&self, value: &Value, schema: &Value) -> (Value, Value) {
        let described = self.resolve(schema)["properties"].as_object().unwrap();
        let members = value.as_object().unwrap().clone();
        let (own, rest): (Map<_, _>, Map<_, _>) =
            members.into_iter().partition(|(name, _)| described.contains_key(name));
        (own.into(), rest.into())
    }

    /// Asserts that every described status was seen, except these.
    pub fn assert_seen(&self, except: &[(&str, &[u16])]) {
        for (name, operation) in self.operations() {
            for status in operation["responses"].as_object().unwrap().keys() {
                let status = status.parse().unwrap();
                let excepted =
                    except.iter().any(|(pattern, statuses)| name.contains(pattern) && statuses.contains(&status));
                assert!(
                    excepted || self.seen.contains(&(name.clone(), status)),
                    "{name} was not seen to answer {status}"
                );
            }
        }
    }
}
