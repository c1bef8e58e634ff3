//! The list of drivers. A new driver is a variant here and an arm in [`build`].

use std::sync::Arc;

use crate::local::{LocalDriver, LocalSettings};
use crate::{Driver, DriverError};

/// Which driver, with its settings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DriverSettings {
    /// Namespaces on this host; no engine needed.
    Local(LocalSettings),
}

/// Makes a driver.
///
/// # Errors
/// [`DriverError::Unusable`] where this machine cannot run it.
pub fn build(settings: DriverSettings) -> Result<Arc<dyn Driver>, DriverError> {
    Ok(match settings {
        DriverSettings::Local(settings) => Arc::new(LocalDriver::new(settings)?),
    })
}
