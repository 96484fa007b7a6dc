base:
  '*':
    - spice
