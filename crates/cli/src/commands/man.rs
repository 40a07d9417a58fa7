//! `endspan man`: the manual pages, made from the command line's own help.

use clap::CommandFactory;

use crate::args::{Arguments, ManArguments};
use crate::error::{CliError, Exit};
use crate::format;
use crate::output::Output;

pub(crate) fn run(arguments: &ManArguments, mut output: Output) -> Result<(), CliError> {
    let Some(directory) = &arguments.to else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
        output.line(page.trim_ascii_end())?;
        return Ok(output.flush()?);
    };
    let cannot = |error| CliError::new(Exit::Local, format!("cannot write {}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(cannot)?;
    clap_mangen::generate_to(Arguments::command(), directory).map_err(cannot)?;
    let pages = std::fs::read_dir(directory).map_err(cannot)?.flatten();
    let pages = pages.filter(|page| page.file_name().to_string_lossy().starts_with("endspan")).count();
    eprintln!("{} in {}", format::count(pages as u64, "page"), directory.display());
    Ok(())
}
