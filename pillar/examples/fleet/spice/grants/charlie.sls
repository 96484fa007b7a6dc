include: [spice.vms.books]
spice:
  schedules:
    office-hours:
      days: mon-fri
      hours: 08:00-18:00
      except: [2026-12-24/2027-01-01]
  grants:
    charlie-books: {user: charlie, vm: books, schedule: office-hours, warn: [15m, 2m]}
