//! Black-box tests over HTTP, the rules of the house, and the load driver. See `it/`.
