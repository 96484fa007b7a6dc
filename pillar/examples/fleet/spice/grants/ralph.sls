include: [spice.vms.analysis]
spice:
  grants:
    ralph-analysis:
      user: ralph
      vm: analysis
      valid_from: 2026-11-02
      valid_until: 2027-03-31            # this day is the last one
      owner: boss
      reason: analysis for the agency, confidential
      ticket: ORDER-2026-17
