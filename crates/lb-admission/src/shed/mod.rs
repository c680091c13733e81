//! Refusing early while the machine is overloaded.
