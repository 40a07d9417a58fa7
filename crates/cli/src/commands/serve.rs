//! `endspan serve`: the span server.

use crate::args::ServeArguments;
use crate::error::CliError;
use crate::host::{Host, Signals, data_directory};
use crate::keys::Keys;
use crate::logging;
use crate::output::Output;

/// What a server logs unless told otherwise.
const LOG: &str =
    "warn,endspan=info,endspan_server=info,endspan_store_embedded=info,endspan_store_postgres=info";

pub(crate) async fn run(arguments: ServeArguments, mut output: Output) -> Result<(), CliError> {
    logging::start(&arguments, LOG)?;
    let data = match &arguments.data {
        Some(data) => data.clone(),
        None => data_directory()?,
    };
    let signals = Signals::catch()?;
    let keys = Keys::of(&arguments, &data);
    let host = Host::start(&arguments, &data, keys).await?;
    host.reread_on_hangup()?;
    // A reader that goes away after the first line must not end the server.
    drop(output.line(host.banner()).and_then(|()| output.flush()));
    host.run(signals.shutdown_requested()).await
}
