include: [spice.vms.books]
spice:
  schedules:
    evenings:
      days: mon-fri
      hours: 18:00-22:00
  grants:
    boss-books: {user: boss, vm: books, schedule: evenings, on_end: drain, grace: 30m}
