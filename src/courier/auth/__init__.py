"""Who a client is: accounts, passwords, SASL, and the protocol of authdaemond's socket."""
