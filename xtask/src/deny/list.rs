//! Lists of names in deny.toml, so that both checkers read one policy.

/// The entries of the list `key` in `[section]`: a string, or the `name` of a table; none if there is no such list.
pub(super) fn quoted(text: &str, section: &str, key: &str) -> Option<Vec<String>> {
    let header = format!("[{section}]");
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != header)
        .skip(1)
        .take_while(|line| !(line.starts_with('[') && line.ends_with(']')))
        .filter(|line| !line.starts_with('#'))
        .collect();
    let start = lines.iter().position(|line| {
        line.strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    })?;
    let mut entries = Vec::new();
    for line in &lines[start..] {
        let line = line
            .split_once('=')
            .filter(|_| line.starts_with(key))
            .map_or(*line, |(_, rest)| rest);
        let named = line.split_once("name = ").map(|(_, rest)| rest);
        let mut quoted = named.unwrap_or(line).split('"').skip(1).step_by(2);
        match named {
            Some(_) => entries.extend(quoted.next().map(str::to_owned)),
            None => entries.extend(quoted.map(str::to_owned)),
        }
        if line.ends_with(']') {
            return Some(entries);
        }
    }
    None
}
