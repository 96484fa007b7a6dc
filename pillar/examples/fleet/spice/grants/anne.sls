include: [spice.vms.web]
spice:
  schedules:
    annes-days:
      days: [wed, thu]
      hours: 08:00-18:00
      also: [2026-11-27]                 # a Friday: the release
  grants:
    anne-web: {user: anne, vm: web, schedule: annes-days}
