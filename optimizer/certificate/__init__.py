"""What a policy could have paid: the clairvoyant optimum between two proven values, prices of bottlenecks, the ledger of waste."""
