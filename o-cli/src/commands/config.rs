//! `o config`: what holds, where it comes from, and what may stand in the file.

use serde_json::{Map, Value, json};

use super::{config_flag, serve};
use crate::{
    cli::{ConfigCommand, GlobalArgs},
    exit::Failure,
    output::{Output, Table},
    settings::{self, Layer, Role, Row, Settings},
};

/// Shows the configuration, its schema, or where it is.
pub(super) fn run(
    command: &ConfigCommand,
    global: &GlobalArgs,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        ConfigCommand::Path => {
            let path = settings::path(config_flag(global))?;
            match output.is_json() {
                true => output.value(&json!({ "path": path })),
                false => output.line(path.display()),
            }
        }
        ConfigCommand::Schema => {
            let schema = settings::schema()?;
            match output.is_json() {
                true => output.value(&schema),
                false => output.line(format_args!("{schema:#}")),
            }
        }
        ConfigCommand::Show(args) => {
            let flags = Layer::try_from(&**args)?;
            let settings = Settings::load(config_flag(global), flags, Role::Server)?;
            // What is shown is what would hold: nothing does where `o serve` would not start.
            serve::check(&settings)?;
            show(settings::rows(&settings)?, output)
        }
    }
}

fn show(rows: Vec<Row>, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        let entry = |row: Row| {
            let value = json!({ "value": row.value, "from": row.origin.to_string() });
            (row.name, value)
        };
        let all: Map<String, Value> = rows.into_iter().map(entry).collect();
        return output.value(&all);
    }
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    for row in rows {
        let value = match row.value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        table.row([row.name, value, row.origin.to_string()]);
    }
    output.table(&table)
}
