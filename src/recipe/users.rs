//! Many users in one file: TOML, CSV or JSON lines. Each has a name and any field of a recipe.
//!
//! As `name` is the user's, the recipe's own `name` (of menu entries) is called `menu-name` here, in messages, too.

use std::cell::Cell as Counter;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::Recipe;
use super::document::{Positions, broken, fault, in_small_letters, mistyped, other_form, unknown};
use super::list::NOTHING;
use crate::bounded;
use crate::error::{Advice, Error, KeyOf, Result};
use crate::formats::csv::{self, Cell, CsvError, Record};
use crate::formats::json::{Bounded, Room};
use crate::keys;
use crate::nearest::nearest;
use crate::stop;
use crate::units::{format_bytes, u64_of};

/// Bytes of a users file.
const LARGEST: u64 = 192 << 20;

/// Bytes of memory for what one user of JSON lines has.
const LARGEST_USER: usize = 16 << 20;

/// Bytes of them for a pair beside its key and its value.
const OF_PAIR: usize = 192;

/// Bytes of memory that the values of a users file in TOML take, which is read as a whole.
const LARGEST_TOML: usize = 128 << 20;

/// Bytes of memory that a users file and what is kept of all its users take.
const LARGEST_HELD: usize = 160 << 20;

/// Bytes of them for each user beside its text: the settings, most of which are empty, and the files it reads and writes.
const OF_USER: usize = size_of::<Recipe>() + 2 * size_of::<User>() + 1536;

/// Bytes of them for each value beside its text.
const OF_TEXT: usize = 96;

/// What a users file is written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Format {
    /// `[[user]]` tables
    Toml,
    /// A line of field names, then a line for each user
    Csv,
    /// A JSON object per line
    Jsonl,
}

impl Format {
    /// That of a file of this name.
    pub fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "toml" => Some(Self::Toml),
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: String,
    /// Where the file tells of the user.
    pub place: String,
    /// What the user's image has apart from what all have. In a place of its own, as lists of users are copied.
    pub recipe: Box<Recipe>,
}

/// The name of the user.
const NAME: &str = "name";

/// A key of users files, and the setting of a recipe that it is, where the two have not the same name.
const RENAMED: (&str, &str) = ("menu-name", "name");

/// What a setting of a recipe is called in users files.
pub fn key_of(setting: &str) -> &str {
    if setting == RENAMED.1 { RENAMED.0 } else { setting }
}

/// What a key of users files is called in recipes.
fn setting_of(key: &str) -> &str {
    if key == RENAMED.0 { RENAMED.1 } else { key }
}

/// All keys of users files.
fn keys() -> Vec<String> {
    let settings = Recipe::names().into_iter().map(|setting| key_of(&setting).to_owned());
    [NAME.to_owned()].into_iter().chain(settings).collect()
}

/// What takes text with a blank at its beginning or end, which other text would be without. All other keys refuse it.
const WITH_BLANKS: [&str; 7] =
    [NAME, "wifi", "file", "karg", "karg-replace", "entry", "default-entry"];

/// A key, its value, and where that stands.
struct Field {
    key: String,
    places: Vec<String>,
    given: RawValue,
}

/// A value as the file has it. What a cell of CSV holds is text of any type.
enum RawValue {
    Typed(Value),
    Cell(Cell),
}

/// Reads a users file. What is wrong with one user says nothing of the others. Relative paths are relative
/// to the file's folder; `separator` separates the elements of lists in CSV cells.
///
/// # Errors
/// A file that cannot be read, or whose form is broken as a whole. Within: [`Error::Recipe`] with the
/// line, and the column where it is known.
pub fn read(path: &Path, format: Format, separator: char) -> Result<Vec<Result<User>>> {
    let name = path.display().to_string();
    let text = bounded::read_text(path, LARGEST, &format!("read the users {name}"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let held = Counter::new(text.len());
    let reading = Reading { name, folder: folder.to_owned(), separator, keys: keys(), held };
    let users = match format {
        Format::Toml => reading.toml(&text),
        Format::Csv => reading.csv(&text),
        Format::Jsonl => reading.jsonl(&text),
    }?;
    if users.is_empty() {
        return Err(fault(&reading.name, "names no user", FORM));
    }
    Ok(users)
}

/// The form of a file that its name does not tell, where it is one that no users file has.
///
/// # Errors
/// A file that cannot be read.
pub fn foreign_form(path: &Path) -> Result<Option<&'static str>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = bounded::read_text(path, LARGEST, &format!("read the users {}", path.display()))?;
    // JSON may be in lines.
    Ok(other_form(&text).filter(|form| ["YAML", "Nix"].contains(form)))
}

struct Reading {
    name: String,
    folder: PathBuf,
    separator: char,
    keys: Vec<String>,
    /// Bytes of memory that are taken.
    held: Counter<usize>,
}

impl Reading {
    /// All users, if there is room for them.
    fn gathered(&self, users: impl Iterator<Item = Result<User>>) -> Result<Vec<Result<User>>> {
        let mut all = Vec::new();
        for user in users {
            stop::check()?;
            all.push(user);
            if !self.hold(OF_USER) {
                return Err(self.no_room(all.len()));
            }
        }
        Ok(all)
    }

    /// Takes memory; false if there is not so much.
    fn hold(&self, bytes: usize) -> bool {
        let held = self.held.get().saturating_add(bytes);
        self.held.set(held);
        held <= LARGEST_HELD
    }

    /// The error of a file for which there is not enough memory from this user on.
    fn no_room(&self, users: usize) -> Error {
        let room = format_bytes(u64_of(LARGEST_HELD));
        let what = format!("it takes more than {room} of memory up to its user {users}");
        fault(&self.name, what, if users > 1 { SPLIT } else { FEWER })
    }

    fn toml(&self, text: &str) -> Result<Vec<Result<User>>> {
        self.check_toml(text)?;
        let positions = Positions::new(text);
        let at = |byte: usize| format!("{}:{}", self.name, positions.of(byte));
        let table = DeTable::parse(text).map_err(|refused| {
            if let Some(form) = other_form(text) {
                return fault(&self.name, format!("it is {form}, not TOML"), FORM);
            }
            let place = refused.span().map_or_else(|| self.name.clone(), |span| at(span.start));
            broken(&place, text, &refused, FORM)
        })?;
        let table = table.get_ref();
        if let Some(other) = table.keys().find(|key| key.get_ref() != "user") {
            let (place, key) = (at(other.span().start), other.get_ref());
            if key == "users" {
                return Err(fault(&place, "unknown key `users`", "write `[[user]]` for each user"));
            }
            if self.keys.iter().any(|known| known == key) {
                return Err(fault(
                    &place,
                    format!("`{key}` is outside of a user"),
                    Advice::IsRecipe,
                ));
            }
            return Err(fault(&place, format!("unknown key `{}`", shown(key)), FORM));
        }
        let Some(users) = table.get("user") else { return Ok(Vec::new()) };
        let Some(users) = users.get_ref().as_array() else {
            return Err(fault(
                &at(users.span().start),
                "`user` is not a list of tables",
                "write `[[user]]` for each user",
            ));
        };
        let user = |user: &toml::Spanned<DeValue<'_>>| {
            let place = at(user.span().start);
            let fields = user.get_ref().as_table().map(|table| toml_fields(table, &at));
            self.user(place.clone(), fields.ok_or_else(|| fault(&place, "no table", FORM))?)
        };
        self.gathered(users.iter().map(user))
    }

    /// Refuses a file whose values would fill the memory, before they do.
    fn check_toml(&self, text: &str) -> Result<()> {
        let cost = text.split('\n').map(toml_cost).fold(0, usize::saturating_add);
        if cost <= LARGEST_TOML {
            self.hold(cost);
            return Ok(());
        }
        let what = "has more values than TOML is read with";
        Err(fault(
            &self.name,
            what,
            "write it as CSV or as JSON lines, which are read user by user",
        ))
    }

    fn csv(&self, text: &str) -> Result<Vec<Result<User>>> {
        let mut records = csv::records(text);
        let Some(heads) = records.next() else { return Ok(Vec::new()) };
        let place = format!("{}:{}", self.name, heads.line);
        let heads = heads.cells.map_err(|flaw| flawed(&place, flaw))?;
        let heads: Vec<&str> = heads.iter().map(|head| head.text.trim()).collect();
        self.check_heads(&place, &heads)?;
        self.gathered(records.map(|record| self.csv_user(&heads, record)))
    }

    fn csv_user(&self, heads: &[&str], record: Record) -> Result<User> {
        let place = format!("{}:{}", self.name, record.line);
        let cells = record.cells.map_err(|flaw| flawed(&place, flaw))?;
        if cells.len() != heads.len() {
            return Err(miscounted(&place, cells.len(), heads.len()));
        }
        let cells = heads.iter().zip(cells).zip(1..);
        let fields = cells.map(|((head, cell), column)| Field {
            key: (*head).to_owned(),
            places: vec![format!("{place}, column {column}")],
            given: RawValue::Cell(cell),
        });
        let fields = fields.filter(|field| !field.is_empty()).collect();
        self.user(place, fields)
    }

    /// Refuses columns that no user can have, once for all users.
    fn check_heads(&self, place: &str, heads: &[&str]) -> Result<()> {
        if let [one] = heads
            && let Some(other) = [';', '\t'].into_iter().find(|other| one.contains(*other))
        {
            let what = format!("the columns are separated by {other:?}, not by commas");
            return Err(fault(place, what, "save it with commas between the columns"));
        }
        if heads.iter().all(|head| head.is_empty()) {
            return Err(fault(&self.name, "names no user", FORM));
        }
        let is_known = |head: &&&str| head.is_empty() || self.keys.iter().any(|key| key == *head);
        let is_close = |head: &str| {
            self.closest(head).is_some() || in_small_letters(head, &self.keys).is_some()
        };
        if !heads.iter().any(|head| is_known(&head) || is_close(head)) {
            let what = "the first line does not name the columns";
            return Err(fault(place, what, "begin the file with a line as `name,key`"));
        }
        if let Some(other) = heads.iter().find(|head| !is_known(head)) {
            return Err(self.unknown_column(place, other));
        }
        let is_again = |(at, head): &(usize, &&str)| {
            !head.is_empty() && heads.iter().take(*at).any(|other| other == *head)
        };
        if let Some((_, twice)) = heads.iter().enumerate().find(is_again) {
            let what = format!("the column `{twice}` is there twice");
            return Err(fault(place, what, "leave one of them out"));
        }
        if heads.iter().all(|head| *head != NAME) {
            return Err(fault(place, "no column `name`", FORM));
        }
        Ok(())
    }

    fn unknown_column(&self, place: &str, head: &str) -> Error {
        let (key, close) = (shown(head).into(), self.closest(head).map(Box::from));
        let what = format!("unknown column `{key}`");
        if let Some(small) = in_small_letters(head, &self.keys) {
            return fault(place, what, format!("write `{small}`, in small letters"));
        }
        fault(place, what, Advice::UnknownKey { key, close, of: KeyOf::Column })
    }

    /// The column that may be meant by a mistyped one.
    fn closest(&self, head: &str) -> Option<&str> {
        let keys = self.keys.iter().map(String::as_str);
        nearest(head, keys, |key| if key.len() < 4 { 0 } else { 2.min(key.len() / 3) })
    }

    fn jsonl(&self, text: &str) -> Result<Vec<Result<User>>> {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        if first.starts_with('[') {
            let hint = "give one JSON object per line, as `jq -c '.[]'` makes them of a list";
            return Err(fault(&self.name, "it is a list in JSON", hint));
        }
        if first == "{" {
            return Err(fault(&self.name, "an object goes over several lines", ONE_A_LINE));
        }
        let lines = (1_usize..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let user = |(number, line): (usize, &str)| {
            let place = format!("{}:{number}", self.name);
            let pairs = pairs_of(line).map_err(|refused| no_json(&place, &refused))?;
            if let [(key, Value::Array(_))] = pairs.as_slice()
                && !self.keys.contains(key)
            {
                let hint = format!(
                    "give one JSON object per line, as `jq -c '.{}[]'` makes them",
                    shown(key)
                );
                return Err(fault(&place, "one object holds a list, as of all users", hint));
            }
            let fields = pairs.into_iter().map(|(key, value)| Field {
                key,
                places: vec![place.clone()],
                given: RawValue::Typed(value),
            });
            self.user(place.clone(), fields.collect())
        };
        self.gathered(lines.map(user))
    }

    fn user(&self, place: String, fields: Vec<Field>) -> Result<User> {
        let mut name = None;
        let mut recipe = Recipe::default();
        for field in fields {
            if !self.hold(field.held(self.separator)) {
                return Err(self.no_room(1));
            }
            match field.key.as_str() {
                NAME => name = Some(field.user_name()?),
                _ => recipe = self.recipe(&field)?.beside(recipe),
            }
        }
        let name = name.ok_or_else(|| fault(&place, "a user without `name`", FORM))?;
        let mut recipe = recipe.below_folder(&self.folder)?;
        let (keys, places): (Vec<_>, Vec<_>) = keys_of(&recipe)?.into_iter().unzip();
        // A folder of keys has any number of them.
        let more = keys.len().saturating_sub(recipe.key.len());
        self.hold(more.saturating_mul(OF_TEXT.saturating_mul(2)));
        recipe.key = keys;
        recipe.places.insert("key".to_owned(), places);
        Ok(User { name, place, recipe: Box::new(recipe) })
    }

    /// A recipe of this field alone.
    fn recipe(&self, field: &Field) -> Result<Recipe> {
        if !self.keys.contains(&field.key) {
            return Err(unknown(field.place(), &field.key, &self.keys, KeyOf::User));
        }
        let setting = setting_of(&field.key).to_owned();
        let is_null = matches!(field.given, RawValue::Typed(Value::Null));
        let mut told = if is_null { NOTHING.to_owned() } else { String::new() };
        for value in field.readings(self.separator) {
            let object = Value::Object(Map::from_iter([(setting.clone(), value.clone())]));
            match serde_json::from_value::<Recipe>(object) {
                Ok(mut recipe) => {
                    field.check_blanks(&value)?;
                    recipe.places = BTreeMap::from([(setting, field.named_places())]);
                    return Ok(recipe);
                }
                Err(refused) => told = refused.to_string(),
            }
            // The separators of a cell are not its text.
            if told == NOTHING {
                break;
            }
        }
        Err(mistyped(field.place(), &format!("{}: ", field.key), &told))
    }
}

/// A record with more cells than columns, or fewer.
fn miscounted(place: &str, cells: usize, columns: usize) -> Error {
    let plural = if cells == 1 { "" } else { "s" };
    let what = format!("{cells} cell{plural}, and {columns} columns");
    let hint = if cells < columns {
        "write a comma between all cells, also in front of an empty one"
    } else {
        "put text with commas in double quotes"
    };
    fault(place, what, hint)
}

/// What is wrong with a record of CSV.
fn flawed(place: &str, flaw: CsvError) -> Error {
    let (column, what, hint) = match flaw {
        CsvError::Open { column } => (
            column,
            "a double quote is opened, and not closed",
            "close it, or write `\"\"` for one in a text",
        ),
        CsvError::Behind { column } => (
            column,
            "text stands behind the double quote that closes it",
            "put the whole text in double quotes, and write `\"\"` for one in it",
        ),
    };
    fault(&format!("{place}, column {column}"), what, hint)
}

const FORM: Advice = Advice::UsersForm;

/// What is to be done about an object that does not end on its line.
const ONE_A_LINE: &str = "give one JSON object per line, as `jq -c .` writes them";

/// What is to be done about a user with too much.
const FEWER: &str = "give the user fewer values";

/// What is to be done about too many users.
const SPLIT: &str = "split the file, and stamp the images of each part into a folder of its own";
/// A line that is not JSON, in the words of those who write it. `key` is a column here.
fn no_json(place: &str, refused: &serde_json::Error) -> Error {
    let told = refused.to_string();
    let told = told.split(" at line").next().unwrap_or_default();
    let place = format!("{place}:{}", refused.column());
    if refused.is_eof() {
        return fault(&place, "the line ends within an object or a text of JSON", ONE_A_LINE);
    }
    match told {
        "key must be a string" => fault(
            &place,
            "a name in JSON stands in double quotes",
            "write `{\"name\": \"alice\"}`, with double quotes around names and texts",
        ),
        "trailing characters" => fault(
            &place,
            "something stands behind the object",
            "end the line with `}`, without a comma; give one JSON object per line",
        ),
        _ => fault(&place, told, FORM),
    }
}

/// The pairs of an object in JSON, each key once.
fn pairs_of(line: &str) -> serde_json::Result<Vec<(String, Value)>> {
    let mut from = serde_json::Deserializer::from_str(line);
    let pairs = from.deserialize_map(PairsVisitor(Room(LARGEST_USER)))?;
    from.end().map(|()| pairs)
}

struct PairsVisitor(Room);

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(
        mut self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let (mut pairs, mut seen) = (Vec::new(), HashSet::new());
        while let Some(key) = map.next_key::<String>()? {
            self.0.take(key.len().saturating_mul(2).saturating_add(OF_PAIR))?;
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("`{key}` is there twice")));
            }
            pairs.push((key, map.next_value_seed(Bounded(&mut self.0))?));
        }
        Ok(pairs)
    }
}

impl Field {
    /// Bytes of memory that it takes in a recipe.
    fn held(&self, separator: char) -> usize {
        let places = self.places.iter().map(String::len);
        let places = places.chain([self.key.len()]).map(|length| length.saturating_add(OF_TEXT));
        let given = match &self.given {
            RawValue::Typed(value) => held(value),
            RawValue::Cell(cell) => {
                let elements = cell.text.split(separator).count();
                elements.saturating_mul(OF_TEXT).saturating_add(cell.text.len())
            }
        };
        places.fold(given, usize::saturating_add)
    }

    fn place(&self) -> &str {
        self.places.first().map_or("", String::as_str)
    }

    /// The places with the key behind each, as a recipe keeps them.
    fn named_places(&self) -> Vec<String> {
        self.places.iter().map(|place| format!("{place}: {}", self.key)).collect()
    }

    fn fault(&self, what: impl std::fmt::Display, hint: impl Into<Advice>) -> Error {
        fault(self.place(), format!("{}: {what}", self.key), hint)
    }

    fn user_name(&self) -> Result<String> {
        let value = match &self.given {
            RawValue::Typed(value) => value.clone(),
            RawValue::Cell(cell) => Value::from(cell.text.as_str()),
        };
        self.check_blanks(&value)?;
        match value.as_str() {
            None => Err(self.fault("the name is not text", FORM)),
            Some("") => Err(self.fault("it is empty", "give the user a name")),
            Some(text) => Ok(text.to_owned()),
        }
    }

    /// Whether blanks at the ends of a text are part of it.
    fn has_blanks(&self) -> bool {
        WITH_BLANKS.contains(&self.key.as_str())
    }

    /// Text that a cell holds, or an element of its list.
    fn text_of<'a>(&self, text: &'a str) -> &'a str {
        if self.has_blanks() { text } else { text.trim() }
    }

    /// Whether a cell says nothing.
    fn is_empty(&self) -> bool {
        match &self.given {
            RawValue::Typed(_) => false,
            RawValue::Cell(cell) if cell.is_quoted => self.text_of(&cell.text).is_empty(),
            RawValue::Cell(cell) => cell.text.trim().is_empty(),
        }
    }

    /// What the value can mean: of a cell a list, a text, a number or a truth value, the first that fits.
    fn readings(&self, separator: char) -> Vec<Value> {
        let cell = match &self.given {
            // A null would read as a setting that is not given.
            RawValue::Typed(Value::Null) => return Vec::new(),
            RawValue::Typed(value) => return vec![value.clone()],
            RawValue::Cell(cell) => cell,
        };
        let elements = cell.text.split(separator).map(|element| self.text_of(element));
        let list = elements.filter(|element| !element.is_empty()).map(Value::from).collect();
        let text = self.text_of(&cell.text);
        let mut readings = vec![list, Value::from(text)];
        let plain = serde_json::from_str(text).ok();
        readings.extend(plain.filter(|value: &Value| value.is_boolean() || value.is_u64()));
        readings
    }

    /// Refuses blanks at the ends of what a cell holds, where nobody can tell whether they are meant.
    fn check_blanks(&self, value: &Value) -> Result<()> {
        let RawValue::Cell(cell) = &self.given else { return Ok(()) };
        let texts = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let is_odd = |text: &str| text.trim() != text;
        let Some(odd) = texts.iter().filter_map(Value::as_str).find(|text| is_odd(text)) else {
            return Ok(());
        };
        let hint = match (cell.is_quoted, texts.len()) {
            (true, 1) => return Ok(()),
            (false, 1) => "leave it out, or put the text in double quotes if it is meant",
            _ => "leave it out; in TOML or JSON lines it can be part of an element",
        };
        Err(self.fault(format!("{odd:?} begins or ends with a blank"), hint))
    }
}

/// Bytes that a line of TOML may take in memory. A table has room for eleven pairs, and each part of a dotted key may be one;
/// dots behind the first `=` are text, but for keys within braces.
fn toml_cost(line: &str) -> usize {
    let keys = if line.contains('{') { line } else { line.split('=').next().unwrap_or_default() };
    let dots = keys.bytes().filter(|byte| *byte == b'.').count().saturating_mul(1400);
    let others = line.bytes().map(|byte| match byte {
        b'{' => 1400,
        b'[' => 700,
        b',' | b'=' => 200,
        _ => 1,
    });
    others.fold(dots.saturating_add(200), usize::saturating_add)
}

/// Bytes of memory that a value takes in a recipe.
fn held(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len().saturating_add(OF_TEXT),
        Value::Array(list) => list.iter().map(held).fold(OF_TEXT, usize::saturating_add),
        _ => OF_TEXT,
    }
}

fn toml_fields(table: &DeTable<'_>, at: &impl Fn(usize) -> String) -> Vec<Field> {
    let field = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        let places = match value.get_ref() {
            DeValue::Array(list) if !list.is_empty() => {
                list.iter().map(|element| at(element.span().start)).collect()
            }
            _ => vec![at(value.span().start)],
        };
        Field { key: key.to_string(), places, given: RawValue::Typed(json(value.get_ref())) }
    };
    table.iter().map(field).collect()
}

/// What a recipe can hold, as JSON; null for everything else.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(truth) => Value::from(*truth),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            number.map_or_else(|_| no_value(), Value::from)
        }
        DeValue::Array(list) => list.iter().map(|element| json(element.get_ref())).collect(),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => no_value(),
    }
}

/// What no setting takes. A null would read as a setting that is not given.
fn no_value() -> Value {
    Value::Object(Map::new())
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// Keys and where each stands, with each folder replaced by the `.pub` files in it, by name.
fn keys_of(recipe: &Recipe) -> Result<Vec<(String, String)>> {
    let mut keys = Vec::new();
    for (index, key) in recipe.key.iter().enumerate() {
        let place = recipe.place_in_file("key", index).unwrap_or_default();
        if !keys::is_path(key) || !Path::new(key).is_dir() {
            keys.push((key.clone(), place));
            continue;
        }
        let mut found = keys_of_folder(recipe, index, key)?;
        if found.is_empty() {
            let what = format!("{key} is a folder without a .pub file");
            return Err(recipe.fault("key", index, what, "put the public keys of the user there"));
        }
        found.sort();
        keys.extend(found.into_iter().map(|key| (key, place.clone())));
    }
    Ok(keys)
}

/// The paths of the public keys in a folder, which is the key `index`.
fn keys_of_folder(recipe: &Recipe, index: usize, folder: &str) -> Result<Vec<String>> {
    let doing = || format!("look into {folder} ({})", recipe.place("key", index));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(doing()))? {
        let path = entry.map_err(Error::io(doing()))?.path();
        if path.extension().is_none_or(|extension| extension != "pub") {
            continue;
        }
        let Some(text) = path.to_str() else {
            let what = format!("{} has a name that is not UTF-8", path.display());
            return Err(recipe.fault("key", index, what, "rename the file"));
        };
        found.push(text.to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn users(name: &str, text: &str) -> Vec<std::result::Result<User, String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::create_dir(folder.path().join("keys")).unwrap();
        for file in ["b.pub", "a.pub", "c"] {
            fs::write(folder.path().join("keys").join(file), "k").unwrap();
        }
        fs::create_dir(folder.path().join("none")).unwrap();
        fs::create_dir(folder.path().join("odd")).unwrap();
        fs::write(folder.path().join("odd").join(OsStr::from_bytes(b"\xff.pub")), "k").unwrap();
        let read =
            read(&path, Format::from_path(&path).unwrap(), ';').map_err(|fault| fault.to_string());
        let from = path.display().to_string();
        match read {
            Err(fault) => vec![Err(fault.replace(&from, "F"))],
            Ok(users) => users
                .into_iter()
                .map(|user| user.map_err(|fault| fault.to_string().replace(&from, "F")))
                .collect(),
        }
    }

    fn faults(name: &str, text: &str) -> Vec<String> {
        users(name, text).into_iter().filter_map(std::result::Result::err).collect()
    }

    const TOML: &str = "[[user]]\nname = 'a'\nkey = ['ssh-ed25519 AAA', 'keys']\ntimeout = 3\nssh-passwords = true\nmenu-name = 'm'\n";
    const CSV: &str =
        "name,key,timeout,ssh-passwords,menu-name\na,ssh-ed25519 AAA; keys,3,true,m\n";
    const JSONL: &str = "{\"name\":\"a\",\"key\":[\"ssh-ed25519 AAA\",\"keys\"],\"timeout\":3,\"ssh-passwords\":true,\"menu-name\":\"m\"}\n\n";

    #[test]
    fn a_folder_of_keys_without_a_key_or_with_an_odd_name_is_refused() {
        for (folder, told) in [("none", "without a .pub file"), ("odd", "that is not UTF-8")] {
            let found = faults("u.toml", &format!("[[user]]\nname = 'a'\nkey = '{folder}'\n"));
            assert!(found[0].starts_with("F:3:7: key: ") && found[0].contains(told), "{found:?}");
        }
    }

    #[test]
    fn all_forms_say_the_same() {
        for (name, text) in [("u.toml", TOML), ("u.csv", CSV), ("u.jsonl", JSONL)] {
            let found = users(name, text);
            let user = found[0].as_ref().unwrap();
            assert_eq!((found.len(), user.name.as_str()), (1, "a"), "{name}");
            let recipe = &user.recipe;
            assert_eq!(recipe.key[0], "ssh-ed25519 AAA", "{name}");
            assert!(recipe.key[1].ends_with("/keys/a.pub") && recipe.key[2].ends_with("/b.pub"));
            assert_eq!(
                (recipe.key.len(), recipe.timeout, recipe.ssh_passwords),
                (3, Some(3), Some(true))
            );
            assert_eq!(recipe.name.as_deref(), Some("m"), "{name}");
        }
    }

    #[test]
    fn faults_name_line_and_column_and_stay_with_their_user() {
        let toml = faults(
            "u.toml",
            "[[user]]\nname='a'\nhostnam='x'\n[[user]]\nname='b'\ntimeout='x'\n[[user]]\nname='c'\n[[user]]\nkey='k'\n",
        );
        assert_eq!(toml.len(), 3, "{toml:?}");
        assert!(toml[0].starts_with("F:3:9: unknown key `hostnam`"), "{toml:?}");
        let told = "timeout: wants a whole number from 0 on, not text";
        assert!(toml[1].starts_with(&format!("F:6:9: {told}")), "{toml:?}");
        assert!(toml[2].starts_with("F:9:1: a user without `name`"), "{toml:?}");
        let csv = faults("u.csv", "name,timeout\na,x\nb,3\nc\n");
        assert!(csv[0].starts_with(&format!("F:2, column 2: {told}")), "{csv:?}");
        assert!(csv[1].starts_with("F:4: 1 cell, and 2 columns"), "{csv:?}");
        let jsonl = faults("u.jsonl", "{\"name\":\"a\"}\n{\"name\":\n{\"name\":7}\n");
        assert!(jsonl[0].starts_with("F:2:") && jsonl[1].starts_with("F:3: name: "), "{jsonl:?}");
    }

    /// What stands before a user and around it: each line of a place is the line that an editor shows.
    #[test]
    fn a_fault_in_csv_has_the_line_on_which_its_user_begins() {
        const FILES: [(&str, usize); 8] = [
            ("name,timeout\n#\nb,x\n", 3),
            ("# c\n\nname,timeout\n# c\n\n# c\na,3\n\nb,x\n", 9),
            ("\u{feff}\nname,timeout\na,3\n#\n\nb,x", 6),
            ("name,timeout\n\"a\n# no comment\n\",3\n\nb,x\n", 6),
            ("name,timeout\na,3\n\n\"b\nb\",x\n", 4),
            ("name,timeout\na,3\n \t\n#\nb,x,y\n", 5),
            ("name,timeout\n#\n\nb,\"x\n\n", 4),
            ("name,timeout\n#\n\nb,\"3\" x\n", 4),
        ];
        for (text, line) in FILES {
            for end in ["\n", "\r\n", "\r"] {
                let found = faults("u.csv", &text.replace('\n', end));
                let is_there = |fault: &String| {
                    fault.starts_with(&format!("F:{line}: "))
                        || fault.starts_with(&format!("F:{line}, column 2: "))
                };
                assert!(found.len() == 1 && is_there(&found[0]), "{text:?} {end:?}: {found:?}");
            }
        }
        for head in ["nam", "name,nmae", "name,name", "name,\"key"] {
            let found = faults("u.csv", &format!("# c\n\n{head}\n# c\na\n"));
            assert!(found.len() == 1 && found[0].starts_with("F:3"), "{head}: {found:?}");
        }
    }

    /// Every form says one thing: in CSV, text in double quotes is what TOML and JSON have in theirs.
    #[test]
    fn blanks_are_kept_in_quotes_and_refused_where_nobody_can_tell() {
        let given = |name: &str, text: &str| match users(name, text).remove(0) {
            Ok(user) => Ok((user.name, user.recipe.wifi, user.recipe.default_entry)),
            Err(fault) => Err(fault),
        };
        let one = given("u.csv", "name,wifi,default-entry\n\" a\" ,\"  my net \",\" b; c\"\n");
        let told = (" a".to_owned(), vec!["  my net ".to_owned()], Some(" b; c".to_owned()));
        assert_eq!(one, Ok(told));
        let toml = "[[user]]\nname = ' a'\nwifi = '  my net '\ndefault-entry = ' b; c'\n";
        let json = r#"{"name":" a","wifi":["  my net "],"default-entry":" b; c"}"#;
        assert_eq!((given("u.toml", toml), given("u.jsonl", json)), (one.clone(), one));
        let list = given("u.csv", "name,wifi,default-entry\na,\"m n;o\",\n").unwrap();
        assert_eq!(list, ("a".to_owned(), vec!["m n".to_owned(), "o".to_owned()], None));
        for (cells, told) in [
            (" a,w", "column 1: name: \" a\" begins or ends with a blank"),
            ("a, w", "column 2: wifi: \" w\" begins or ends with a blank"),
            ("a,w\u{a0}", "column 2: wifi: \"w\\u{a0}\" begins or ends with a blank"),
            ("a,v; w", "column 2: wifi: \" w\" begins or ends with a blank"),
            ("a,\"v ;w\"", "column 2: wifi: \"v \" begins or ends with a blank"),
        ] {
            let found = given("u.csv", &format!("name,wifi\n{cells}\n")).unwrap_err();
            assert!(found.ends_with(told), "{cells}: {found}");
        }
    }

    /// All other keys refuse a blank at an end, so none is lost with it.
    #[test]
    fn blanks_around_a_cell_that_cannot_be_meant_are_left_out() {
        let text = "name,hostname,dns,timeout,xattrs,bond\na, b ,\" 1.1.1.1; 9.9.9.9\",\" 3\", drop,\" \"\n";
        let user = users("u.csv", text).remove(0).unwrap().recipe;
        assert_eq!(user.hostname.as_deref(), Some("b"));
        assert_eq!((user.dns.join(" ").as_str(), user.timeout), ("1.1.1.1 9.9.9.9", Some(3)));
        assert!(user.xattrs.is_some() && user.bond.is_empty());
    }

    #[test]
    fn a_setting_is_called_as_the_users_file_has_it() {
        assert_eq!((key_of("name"), setting_of("menu-name")), ("menu-name", "name"));
        for setting in Recipe::names() {
            assert_eq!(setting_of(key_of(&setting)), setting);
        }
        for (name, text, place) in [
            ("u.toml", "[[user]]\nname = 'a'\nmenu-name = 7\n", "F:3:13"),
            ("u.csv", "name,karg,menu-name\na,,b\n", "F:2, column 3"),
            ("u.jsonl", "{\"name\":\"a\",\"menu-name\":7}\n", "F:1"),
        ] {
            let told = match users(name, text).remove(0) {
                Ok(user) => user.recipe.place("name", 0),
                Err(fault) => fault,
            };
            let end = format!("{}: menu-name", place.trim_start_matches('F'));
            assert!(told.contains(&end), "{told}");
        }
        let unknown = faults("u.toml", "[[user]]\nname = 'a'\nmenuname = 'b'\n");
        assert!(unknown[0].starts_with("F:3:12: unknown key `menuname`"), "{unknown:?}");
    }

    #[test]
    fn fields_of_one_user_are_of_one_recipe() {
        let fields = ["wifi = 'w'", "wifi-password-file = 'p'", "entry = 'e'", "karg = 'k'"];
        let twice = ["root-password-file = 'p'", "root-password-hash = 'h'"];
        for pair in [&fields[..2], &fields[2..], &twice] {
            for (one, other) in [(0, 1), (1, 0)] {
                let text = format!("[[user]]\nname = 'a'\n{}\n{}\n", pair[one], pair[other]);
                let user = users("u.toml", &text).remove(0).unwrap();
                let mut names = user.recipe.set_names();
                names.retain(|name| name != "key");
                assert_eq!(names.len(), 2, "{text}: {names:?}");
            }
        }
    }

    #[test]
    fn a_value_of_a_kind_that_no_setting_has_is_refused() {
        for value in ["5.5", "99999999999999999999", "2020-01-01", "{ a = 1 }"] {
            for setting in ["timeout", "hostname", "announce", "karg"] {
                let text =
                    format!("[[user]]\nname = 'a'\nkey = 'ssh-ed25519 AAA'\n{setting} = {value}\n");
                let users = users("users.toml", &text);
                assert!(users[0].is_err(), "{setting} = {value}");
            }
        }
    }

    #[test]
    fn broken_files_are_refused_whole() {
        let machine = faults("u.toml", "[[user]]\nname='a'\n[[user.machine]]\nmac='x'\n");
        assert!(machine[0].contains("`machine` is for the recipe of one image"), "{machine:?}");
        assert!(faults("u.toml", "user = [")[0].starts_with("F:1:"));
        assert!(faults("u.toml", "a = 1")[0].starts_with("F:1:1: unknown key `a`"));
        assert!(faults("u.toml", "user = 1")[0].starts_with("F:1:8: `user` is not a list"));
        assert!(faults("u.csv", "key\nk\n")[0].contains("no column `name`"));
    }
}
