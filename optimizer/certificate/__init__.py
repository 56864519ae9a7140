"""What a policy could have paid: the clairvoyant optimum, prices of bottlenecks, the ledger of waste."""
