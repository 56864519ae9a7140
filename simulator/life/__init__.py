"""The life of the fleet: failures and repair, spot pre-emption, model refreshes, work beside serving, fair shares."""
