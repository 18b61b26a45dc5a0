"""Band gaps of any chemistry, of crystals and of compositions: the gap head of Φ_Q that comes with the package."""
