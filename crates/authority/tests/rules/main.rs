//! The rules of the authority, each as a sentence, over books in memory.

mod assertions;
mod audit;
mod claims;
mod clients;
mod codes;
mod cuts;
mod endings;
mod exchange;
mod factors;
mod house;
mod limits;
mod mint;
mod narrowing;
mod offboarding;
mod operators;
mod people;
mod proposals;
mod races;
mod refresh;
mod scopes;
mod wording;
