//! The keys of a kind of TOML file as Markdown, a table a section: the reference in `docs/keys`, from the schema that
//! editors complete keys from.

use serde_json::Value;

/// The reference of a kind of file.
pub fn markdown(title: &str, schema: &Value) -> String {
    let head = format!(
        "# Keys of {title}\n\nMade by `crosspike schema`. Default –: absent, which is none, off or 0. Units stand in \
         names or descriptions.\n"
    );
    let mut page = KeysPage { definitions: &schema["$defs"], text: head, seen: vec![] };
    page.section("", schema);
    page.text
}

struct KeysPage<'a> {
    definitions: &'a Value,
    text: String,
    /// Definitions that have a section, and its name.
    seen: Vec<(String, String)>,
}

impl<'a> KeysPage<'a> {
    /// A section's table, then those of its sections.
    fn section(&mut self, at: &str, schema: &'a Value) {
        if !at.is_empty() {
            self.text += &format!("\n## `{at}`\n");
        }
        if let Some(what) = schema["description"].as_str() {
            // The section's name stands above it already.
            let named = format!("`{at}`: ");
            self.text += &format!("\n{}\n", line(what.strip_prefix(&named).unwrap_or(what)));
        }
        self.text += "\n| key | values | default | what |\n|---|---|---|---|\n";
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut below = vec![];
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = if at.is_empty() { key.clone() } else { format!("{}.{key}", at.trim_matches(['[', ']'])) };
            let (values, section) = self.values(&path, property);
            let default = match &property["default"] {
                _ if required.contains(&key.as_str()) => "required".into(),
                Value::Null | Value::Object(_) => "–".to_string(),
                Value::String(text) if text.is_empty() => "–".into(),
                Value::Array(list) if list.is_empty() => "–".into(),
                Value::String(text) => format!("`\"{text}\"`"),
                Value::Number(number) => format!("`{}`", shortest(number.as_f64().unwrap_or_default())),
                other => format!("`{other}`"),
            };
            let what = line(property["description"].as_str().unwrap_or_default());
            self.text += &format!("| `{key}` | {values} | {default} | {what}{} |\n", self.choices(property));
            below.extend(section);
        }
        below.into_iter().for_each(|(at, schema)| self.section(&at, schema));
    }

    /// What a key takes, and the section that it opens.
    fn values(&mut self, path: &str, property: &'a Value) -> (String, Option<(String, &'a Value)>) {
        let schema = self.resolved(property);
        let items = self.resolved(&schema["items"]);
        let each = self.resolved(&schema["additionalProperties"]);
        let (table, at) = match () {
            () if schema["properties"].is_object() => (property, format!("[{path}]")),
            () if items["properties"].is_object() => (&schema["items"], format!("[[{path}]]")),
            () if each["properties"].is_object() => (&schema["additionalProperties"], format!("[{path}.NAME]")),
            () => return (self.plain(schema), None),
        };
        let name = name(table).unwrap_or_default().to_string();
        match self.seen.iter().find(|(seen, _)| !name.is_empty() && *seen == name) {
            Some((_, earlier)) => (format!("as `{earlier}`"), None),
            None => {
                self.seen.push((name, at.clone()));
                (format!("`{at}`"), Some((at, self.resolved(table))))
            }
        }
    }

    /// A value that opens no section.
    fn plain(&self, schema: &'a Value) -> String {
        let constants = constants(schema);
        if !constants.is_empty() {
            return constants.iter().map(|(name, _)| format!("`\"{name}\"`")).collect::<Vec<_>>().join(", ");
        }
        if let Some(ways) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            let ways = ways.iter().map(|way| self.plain(self.resolved(way)));
            return ways.filter(|way| !way.is_empty()).collect::<Vec<_>>().join(" or ");
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.as_str().into_iter().collect::<Vec<_>>(),
        };
        let word = |kind: &&str| match *kind {
            "integer" => "whole number".to_string(),
            "number" => "number".into(),
            "string" => "text".into(),
            "boolean" => "`true`, `false`".into(),
            "array" => format!("list of {}", self.plain(self.resolved(&schema["items"]))),
            "object" => {
                let keys = schema["properties"].as_object().into_iter().flat_map(|keys| keys.keys());
                let keys: Vec<String> = keys.map(|key| format!("{key} = …")).collect();
                if keys.is_empty() { "table".into() } else { format!("`{{ {} }}`", keys.join(", ")) }
            }
            _ => String::new(),
        };
        kinds.iter().map(word).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" or ")
    }

    /// What each of a key's words means.
    fn choices(&self, property: &'a Value) -> String {
        let constants = constants(self.resolved(property));
        constants.iter().map(|(name, what)| format!(" `{name}`: {}", line(what))).collect()
    }

    /// What a schema refers to; itself where it does not.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        name(schema).map_or(schema, |name| &self.definitions[name])
    }
}

/// The definition that a schema refers to, also where it may be absent.
fn name(schema: &Value) -> Option<&str> {
    let optional = schema["anyOf"].as_array().and_then(|ways| match ways.as_slice() {
        [way, null] if null["type"] == "null" => Some(way),
        _ => None,
    });
    optional.unwrap_or(schema)["$ref"].as_str()?.strip_prefix("#/$defs/")
}

/// The words that a schema allows, with their meaning.
fn constants(schema: &Value) -> Vec<(&str, &str)> {
    let described = schema["oneOf"].as_array().into_iter().flatten();
    let described =
        described.filter_map(|way| Some((way["const"].as_str()?, way["description"].as_str().unwrap_or(""))));
    let plain = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|name| (name, ""));
    described.chain(plain).collect()
}

/// A number, with the digits that its precision has.
fn shortest(number: f64) -> String {
    let single = number as f32;
    if f64::from(single) == number { single.to_string() } else { number.to_string() }
}

/// A text as a cell of a table.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
