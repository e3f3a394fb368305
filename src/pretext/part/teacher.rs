//! A teacher: a network that follows another one as a moving average
//! (`methods/contrastive.md` section 2.6).

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::nn::weights::Weights;
use crate::train::{Keep, TrainError};

/// A copy without gradients.
///
/// Of two kinds: one whose batch normalisation uses the statistics of the batch and keeps running
/// ones of its own ([`Teacher::of`]); feed it tensors on the autodiff device and detach what it
/// returns. And one that normalises by running statistics, which follow as parameters do
/// ([`Teacher::still`]); feed it plain tensors.
#[derive(Debug)]
pub struct Teacher<M> {
    module: M,
    still: bool,
}

impl<M: Module> Teacher<M> {
    /// A copy of `student` as it is.
    #[must_use]
    pub fn of(student: &M) -> Self {
        Self {
            module: student.valid().train().no_grad(),
            still: false,
        }
    }

    /// A copy of `student` in inference.
    #[must_use]
    pub fn still(student: &M) -> Self {
        Self {
            module: student.valid(),
            still: true,
        }
    }

    /// The network.
    #[must_use]
    pub fn module(&self) -> &M {
        &self.module
    }

    /// Every trainable parameter becomes `momentum * own + (1 - momentum) * student's`, and in
    /// inference every running statistic; otherwise those are its own.
    pub fn follow(&mut self, student: &M, momentum: f64) {
        let mut source = Parameters {
            found: GradientsParams::new(),
            statistics: self.still,
        };
        student.visit(&mut source);
        let follow = &mut Follow {
            source: source.found,
            momentum,
            plain: self.still,
        };
        self.module = self.module.clone().map(follow);
    }
}

impl<M: Module> Keep for Teacher<M> {
    fn bytes(&self) -> Result<Option<Vec<u8>>, TrainError> {
        Ok(Some(Weights::of(&self.module).to_bytes()?))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        let weights = Weights::from_bytes(bytes, "checkpoint".as_ref())?;
        self.module = weights.load_into(self.module.clone(), "")?;
        Ok(())
    }
}

/// Trainable parameters, and running statistics where asked for, by identity, as plain tensors.
struct Parameters {
    found: GradientsParams,
    statistics: bool,
}

impl ModuleVisitor for Parameters {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.statistics || param.is_require_grad() {
            self.found.register(param.id, plain(param.val()));
        }
    }
}

struct Follow {
    source: GradientsParams,
    momentum: f64,
    plain: bool,
}

/// A tensor outside of any graph; running statistics are that already.
fn plain<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.device().is_autodiff() {
        tensor.detach().inner()
    } else {
        tensor
    }
}

impl ModuleMapper for Follow {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(source) = self.source.remove::<D>(param.id) else {
            return param;
        };
        let (momentum, plain) = (self.momentum, self.plain);
        param.map(|own| {
            let own = self::plain(own).mul_scalar(momentum);
            let mixed = own + source.mul_scalar(1.0 - momentum);
            if plain {
                mixed
            } else {
                mixed.autodiff().set_require_grad(false)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::nn::device::testing::{device, on_each_device};
    use crate::nn::head::{Projection, ProjectionKind};
    use crate::nn::init::Initialiser;
    use crate::nn::layer::BatchNorm2d;
    use crate::nn::weights::{host_values, trainable};

    fn head(seed: u64) -> Projection {
        let kind = ProjectionKind {
            norm: true,
            bias: true,
            last_bias: true,
            last_norm: false,
        };
        Projection::init(&mut Initialiser::new(seed, &device()), &[3, 4, 2], kind)
    }

    fn rows() -> Tensor<2> {
        let values: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin() + 2.0).collect();
        Tensor::from_data(TensorData::new(values, [4, 3]), &device())
    }

    #[test]
    fn follows_by_the_momentum_and_takes_no_gradient() {
        on_each_device(|| {
            let student = head(1);
            let mut teacher = Teacher::of(&student);
            assert_eq!(Weights::of(teacher.module()), Weights::of(&student));
            assert_eq!(trainable(teacher.module()), 0);
            let moved = {
                // The same parameters at zero.
                let mut zero = Weights::of(&student);
                for array in zero.0.values_mut() {
                    array.values.fill(0.0);
                }
                zero.load_into(student.clone(), "").unwrap()
            };
            let before = Weights::of(teacher.module());
            teacher.follow(&moved, 0.996);
            let after = Weights::of(teacher.module());
            for (name, array) in &after.0 {
                for (a, b) in array.values.iter().zip(&before.0[name].values) {
                    let expected = if name.contains("running") {
                        *b
                    } else {
                        b * 0.996
                    };
                    assert!((a - expected).abs() < 1e-6, "{name}");
                }
            }
            let out = teacher.module().forward(rows()) * student.forward(rows());
            let gradients = GradientsParams::from_grads(out.sum().backward(), &student);
            assert!(gradients.get::<2>(student.layers[0].weight.id).is_some());
            // The product itself has gradients, the teacher's side of it has none of its own.
            let out = teacher.module().forward(rows());
            assert!(!out.is_require_grad());
        });
    }

    #[test]
    fn constant_zero_into_one() {
        on_each_device(|| {
            let norm = BatchNorm2d::init(&mut Initialiser::new(1, &device()), 1);
            let mut teacher = Teacher::of(&norm);
            let mut zero = norm.clone();
            zero.gamma = zero
                .gamma
                .map(|g| (g.inner() * 0.0).autodiff().require_grad());
            for expected in [0.996, 0.992_016, 0.988_047_936] {
                teacher.follow(&zero, 0.996);
                let found = host_values(teacher.module().gamma.val())[0];
                assert!((f64::from(found) - expected).abs() < 1e-6);
            }
        });
    }

    #[test]
    fn normalises_with_the_batch_and_leaves_the_student_alone() {
        on_each_device(|| {
            let student = BatchNorm2d::init(&mut Initialiser::new(1, &device()), 3);
            let teacher = Teacher::of(&student);
            let before = Weights::of(&student);
            let out = teacher.module().forward(rows().reshape([4, 3, 1, 1]));
            let mean = host_values(out.mean_dim(0));
            assert!(mean.iter().all(|m| m.abs() < 1e-5), "{mean:?}");
            assert_eq!(Weights::of(&student), before);
            let own = host_values(teacher.module().running_mean.value());
            assert!(own.iter().all(|m| *m > 0.1), "its own statistics move");
        });
    }

    #[test]
    fn in_inference_statistics_follow_as_well() {
        on_each_device(|| {
            let student = head(1);
            let mut teacher = Teacher::still(&student);
            let before = Weights::of(teacher.module());
            // The student trains; its statistics move.
            let _ = student.forward(rows());
            let of_student = Weights::of(&student);
            teacher.follow(&student, 0.9);
            let mut moved = 0;
            for (name, array) in &Weights::of(teacher.module()).0 {
                for (i, a) in array.values.iter().enumerate() {
                    let (b, s) = (before.0[name].values[i], of_student.0[name].values[i]);
                    assert!((a - (0.9 * b + 0.1 * s)).abs() < 1e-6, "{name}");
                    moved += usize::from(name.contains("running") && (a - b).abs() > 1e-3);
                }
            }
            assert!(moved > 0, "statistics follow");
            let plain = rows().inner();
            let bytes = teacher.bytes().unwrap().unwrap();
            let mut other = Teacher::still(&head(3));
            other.restore(&bytes).unwrap();
            let a = host_values(other.module().forward(plain.clone()));
            assert_eq!(a, host_values(teacher.module().forward(plain)));
        });
    }

    #[test]
    fn survives_a_checkpoint() {
        on_each_device(|| {
            let mut teacher = Teacher::of(&head(1));
            teacher.follow(&head(2), 0.5);
            let _ = teacher.module().forward(rows());
            let bytes = teacher.bytes().unwrap().unwrap();
            let mut other = Teacher::of(&head(3));
            other.restore(&bytes).unwrap();
            assert_eq!(Weights::of(other.module()), Weights::of(teacher.module()));
            assert_eq!(trainable(other.module()), 0);
            let a = host_values(other.module().forward(rows()));
            assert_eq!(a, host_values(teacher.module().forward(rows())));
        });
    }
}
